import type { MediaAttachment } from '../model/types';
import { strings } from '../strings';
import { Dialog } from './dialog';
import { FilmInspector, ImageInspector } from './inspect_image';
import { SoundInspector } from './inspect_sound';
import { inspected } from './view';

const t = strings.inspect;

/** Bars to scale: what stands before the decoder here, and elsewhere. Millions of parameters of the 12B model. */
export function Arithmetic({ sound }: { sound: boolean }) {
  // docs/spec/multimodal.md §12: 35,176,704 and 640·3840. The towers: about 550 M (vision) and 305 M (audio).
  const [ours, tower] = sound ? [2.46, 305] : [35.2, 550];
  const rows: [string, number, string][] = [
    [sound ? t.oursSound : t.ours, ours, 'ours'],
    [sound ? t.towerSound : t.tower, tower, 'other'],
  ];
  return (
    <section class="arithmetic">
      <h3>{sound ? t.whySound : t.why}</h3>
      <p>{sound ? t.arithmeticSound : t.arithmetic}</p>
      {rows.map(([label, millions, kind]) => (
        <div key={kind} class="bar-row">
          <span>{label}</span>
          <span class={`bar ${kind}`} style={{ width: `${Math.max(0.6, (millions / tower) * 100)}%` }} />
          <b>{t.millions(millions, kind === 'other')}</b>
        </div>
      ))}
      {!sound && <p class="hint">{t.figures}</p>}
    </section>
  );
}

export function Inspector({ attachment }: { attachment: MediaAttachment }) {
  return (
    <Dialog title={attachment.kind === 'audio' ? t.titleSound : t.title} onClose={() => (inspected.value = null)} class="wide">
      {attachment.kind === 'image' && <ImageInspector attachment={attachment} />}
      {attachment.kind === 'audio' && <SoundInspector attachment={attachment} />}
      {attachment.kind === 'video' && <FilmInspector attachment={attachment} />}
      <Arithmetic sound={attachment.kind === 'audio'} />
    </Dialog>
  );
}
