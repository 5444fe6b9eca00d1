import { useEffect, useRef, useState } from 'preact/hooks';
import { audioTokens, frameSamples, sampleRate } from '../media/cost';
import { decodeSound } from '../media/sound';
import { getMedia } from '../model/store';
import type { AudioAttachment } from '../model/types';
import { strings } from '../strings';

const t = strings.inspect;
const framePx = 7;

function drawWave(canvas: HTMLCanvasElement, samples: Float32Array, frames: number, at: number): void {
  const context = canvas.getContext('2d');
  if (!context) return;
  const style = getComputedStyle(canvas);
  const [even, odd, lit] = ['--wave-even', '--wave-odd', '--accent'].map((name) => style.getPropertyValue(name)) as [string, string, string];
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  for (let f = 0; f < frames; f++) {
    const frame = samples.subarray(f * frameSamples, (f + 1) * frameSamples);
    let low = 0, high = 0;
    for (const v of frame) {
      low = Math.min(low, v);
      high = Math.max(high, v);
    }
    context.fillStyle = f === at ? lit : f % 2 ? odd : even;
    const top = (1 - high) * (height / 2);
    context.fillRect(f * framePx, top, framePx - 1, Math.max(2, ((high - low) * height) / 2));
  }
}

function drawFrame(canvas: HTMLCanvasElement, frame: Float32Array): void {
  const context = canvas.getContext('2d');
  if (!context) return;
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.strokeStyle = getComputedStyle(canvas).getPropertyValue('--accent');
  context.lineWidth = 1.5;
  // The model divides a frame by its own loudness, so it is drawn at its own scale.
  const peak = frame.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-6);
  context.beginPath();
  frame.forEach((v, i) => context.lineTo((i * width) / frameSamples, (1 - (v / peak) * 0.9) * (height / 2)));
  context.stroke();
}

export function SoundInspector({ attachment }: { attachment: AudioAttachment }) {
  const wave = useRef<HTMLCanvasElement>(null);
  const one = useRef<HTMLCanvasElement>(null);
  const [samples, setSamples] = useState<Float32Array | null>(null);
  const [problem, setProblem] = useState('');
  const [at, setAt] = useState(0);
  const frames = audioTokens(attachment.seconds);
  // A canvas has its limits; what is longer is shown from its beginning.
  const shown = Math.min(frames, 4000);
  useEffect(() => {
    getMedia(attachment.media)
      .then((blob) => blob?.arrayBuffer() ?? Promise.reject(new Error(strings.media.missing)))
      .then(decodeSound)
      .then(setSamples)
      .catch((error: Error) => setProblem(error.message));
  }, [attachment.media]);
  useEffect(() => {
    if (!samples) return;
    if (wave.current) drawWave(wave.current, samples, shown, at);
    if (one.current) drawFrame(one.current, samples.subarray(at * frameSamples, (at + 1) * frameSamples));
  }, [samples, at]);
  const move = (n: number) => setAt(Math.min(shown - 1, Math.max(0, n)));
  if (problem) return <p class="bad">{problem}</p>;
  if (!samples) return <p class="hint">{t.loading}</p>;
  return (
    <>
      <p class="facts">
        <b>{t.frames(frames)}</b>
      </p>
      <div
        class="wave-box"
        tabindex={0}
        role="slider"
        aria-label={t.frameHint}
        aria-valuemin={1}
        aria-valuemax={shown}
        aria-valuenow={at + 1}
        aria-valuetext={t.frame(at, at * 40)}
        onKeyDown={(event) => {
          const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -25, PageDown: 25 }[event.key];
          if (step) event.preventDefault(), move(at + step);
        }}
      >
        <canvas
          ref={wave}
          width={shown * framePx}
          height={140}
          onPointerMove={(event) => move(Math.floor((event.offsetX / event.currentTarget.clientWidth) * shown))}
        />
      </div>
      <div class="frame-lens">
        <canvas ref={one} width={640} height={120} aria-hidden="true" />
        <p aria-live="polite">{t.frame(at, at * (1000 * frameSamples) / sampleRate)}</p>
        <p class="hint">{t.frameHint}</p>
      </div>
    </>
  );
}
