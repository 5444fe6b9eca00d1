import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { strings } from '../strings';
import { Dialog } from './dialog';
import { deviceProblem } from './recorder';
import { toast, touch } from './view';

/** How a photo is taken here: in the page, by the phone's own camera (pages without https have no other), or not at all. */
export const photoBy = signal<'page' | 'phone' | null>(null);
export function watchCameras(): void {
  const devices = navigator.mediaDevices;
  if (!devices) return void (photoBy.value = touch ? 'phone' : null);
  const look = async () => {
    const list = await devices.enumerateDevices().catch(() => []);
    photoBy.value = list.some((d) => d.kind === 'videoinput') ? 'page' : null;
  };
  devices.addEventListener('devicechange', () => void look());
  void look();
}

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
