import { useEffect, useRef, useState } from 'preact/hooks';
import { strings } from '../strings';
import { Dialog } from './dialog';
import { deviceProblem } from './recorder';
import { toast } from './view';

/** One photo. Phones offer the camera at the back first. */
export function Camera({ onDone }: { onDone: (file: File | null) => void }) {
  const video = useRef<HTMLVideoElement>(null);
  const [ready, setReady] = useState(false);
  useEffect(() => {
    let over = false;
    let stream: MediaStream | undefined;
    const start = async () => {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment', width: { ideal: 1920 } } });
      if (over || !video.current) return stream.getTracks().forEach((track) => track.stop());
      video.current.srcObject = stream;
      await video.current.play();
      setReady(true);
    };
    start().catch((error: unknown) => {
      if (over) return;
      toast(deviceProblem(error), true);
      onDone(null);
    });
    return () => {
      over = true;
      stream?.getTracks().forEach((track) => track.stop());
    };
  }, []);
  const shoot = async () => {
    const from = video.current;
    if (!from?.videoWidth) return;
    const canvas = new OffscreenCanvas(from.videoWidth, from.videoHeight);
    canvas.getContext('2d')?.drawImage(from, 0, 0);
    const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.92 });
    onDone(new File([blob], strings.media.photo, { type: 'image/jpeg' }));
  };
  return (
    <Dialog title={strings.composer.camera} onClose={() => onDone(null)}>
      <video ref={video} class="camera" muted playsInline />
      <div class="dialog-actions">
        <button type="button" class="button primary" disabled={!ready} onClick={() => void shoot()}>
          {strings.media.shoot}
        </button>
      </div>
    </Dialog>
  );
}
