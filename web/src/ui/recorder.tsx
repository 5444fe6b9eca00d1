import { useEffect, useRef, useState } from 'preact/hooks';
import { sampleRate, trainedSeconds } from '../media/cost';
import { record, type Recording } from '../media/sound';
import { encodeWav } from '../media/wav';
import { server } from '../net/server';
import { strings } from '../strings';
import { toast } from './view';

const t = strings.media;

/** Why a microphone or camera cannot be had, in words. */
export function deviceProblem(error: unknown): string {
  if (!navigator.mediaDevices?.getUserMedia) return t.micInsecure;
  const name = (error as DOMException).name;
  if (name === 'NotAllowedError' || name === 'SecurityError') return t.micDenied;
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return t.micNone;
  return t.failed((error as Error).message);
}

const barMs = 50;

/** Records until the person says so, or for as long as the server takes it. Calls onDone with a WAV file, or null when there is none. */
export function Recorder({ onDone }: { onDone: (file: File | null) => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const recording = useRef<Recording | null>(null);
  const [seconds, setSeconds] = useState(0);
  const longest = server.value?.maxAudioSeconds || Infinity;
  const trained = server.value?.trainedSeconds ?? trainedSeconds.big;

  useEffect(() => {
    let over = false;
    let frame = 0;
    const draw = () => {
      frame = 0;
      const now = recording.current;
      if (now && canvas.current) {
        drawBars(canvas.current, now);
        const heard = (now.blocks.length * 128) / now.hz;
        setSeconds(heard);
        if (heard >= longest) void finish();
      }
    };
    void record(() => (frame ||= requestAnimationFrame(draw)))
      .then((started) => {
        if (over) started.cancel();
        else recording.current = started;
      })
      .catch((error: unknown) => {
        if (over) return;
        toast(deviceProblem(error), true);
        onDone(null);
      });
    return () => {
      over = true;
      cancelAnimationFrame(frame);
      recording.current?.cancel();
    };
  }, []);

  const finish = async () => {
    const now = recording.current;
    if (!now) return;
    recording.current = null;
    const samples = (await now.stop()).subarray(0, longest * sampleRate);
    if (samples.length < sampleRate / 5) {
      toast(t.tooShort, true);
      onDone(null);
    } else {
      onDone(new File([encodeWav(samples, sampleRate)], t.recording, { type: 'audio/wav' }));
    }
  };
  return (
    <div class="recorder" role="group" aria-label={strings.composer.microphone}>
      <span class="record-dot" aria-hidden="true" />
      {server.value?.small && <p class="hint">{t.smallEars}</p>}
      <canvas ref={canvas} width={800} height={64} aria-hidden="true" />
      <span class={`record-time ${seconds > trained ? 'warn' : ''}`} role="timer" aria-label={t.listening}>
        {seconds.toFixed(1)} s
      </span>
      <button type="button" class="button" onClick={() => onDone(null)}>
        {strings.cancel}
      </button>
      <button type="button" class="button primary" onClick={() => void finish()}>
        {t.useRecording}
      </button>
    </div>
  );
}

/** The last seconds, newest right; a bar for 50 ms. */
function drawBars(canvas: HTMLCanvasElement, { blocks, hz }: Recording): void {
  const context = canvas.getContext('2d');
  if (!context) return;
  const perBar = Math.max(1, Math.round((hz * barMs) / 1000 / 128));
  const bars = Math.floor(canvas.width / 6);
  const total = Math.ceil(blocks.length / perBar);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(canvas).color;
  for (let k = 0; k < Math.min(bars, total); k++) {
    const bar = total - 1 - k;
    let peak = 0;
    for (const block of blocks.slice(bar * perBar, (bar + 1) * perBar)) for (const v of block) peak = Math.max(peak, Math.abs(v));
    // Loudness is heard by its logarithm: 60 dB fill the height.
    const height = Math.max(3, canvas.height * Math.min(1, Math.max(0, 1 + Math.log10(peak + 1e-9) / 3)));
    context.fillRect(canvas.width - (k + 1) * 6, (canvas.height - height) / 2, 4, height);
  }
}
