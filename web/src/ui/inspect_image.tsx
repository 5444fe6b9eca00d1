import { useEffect, useRef, useState } from 'preact/hooks';
import { videoFrames } from '../media/cost';
import { modelView, type ModelView } from '../media/model_view';
import { patchSide, targetSize } from '../media/target_size';
import { getMedia } from '../model/store';
import { budgets, type Budget, type ImageAttachment, type VideoAttachment } from '../model/types';
import { strings } from '../strings';
import { useMediaUrl } from './media_url';

const t = strings.inspect;

interface Place {
  row: number;
  column: number;
}

/** The patch under the pointer; arrow keys move it, too. */
export function PatchCanvas({ view, grid }: { view: ModelView; grid: boolean }) {
  const picture = useRef<HTMLCanvasElement>(null);
  const lens = useRef<HTMLCanvasElement>(null);
  const [place, setPlace] = useState<Place>({ row: Math.floor(view.size.rows / 2), column: Math.floor(view.size.columns / 2) });
  const { rows, columns, width, height } = view.size;
  useEffect(() => {
    picture.current?.getContext('2d')?.putImageData(view.pixels, 0, 0);
    setPlace({ row: Math.floor(rows / 2), column: Math.floor(columns / 2) });
  }, [view]);
  useEffect(() => {
    const context = lens.current?.getContext('2d');
    context?.putImageData(view.pixels, -place.column * patchSide, -place.row * patchSide, place.column * patchSide, place.row * patchSide, patchSide, patchSide);
  }, [view, place]);
  const clamp = (n: number, end: number) => Math.min(end - 1, Math.max(0, n));
  const point = (event: PointerEvent) => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    setPlace({
      row: clamp(Math.floor(((event.clientY - box.top) / box.height) * rows), rows),
      column: clamp(Math.floor(((event.clientX - box.left) / box.width) * columns), columns),
    });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    setPlace((p) => ({ row: clamp(p.row + (step[0] as number), rows), column: clamp(p.column + (step[1] as number), columns) }));
  };
  const percent = (n: number) => `${n * 100}%`;
  return (
    <div class="patch-view">
      <div
        class="patch-picture"
        tabindex={0}
        role="application"
        aria-label={`${t.patches(columns, rows, columns * rows)}. ${t.patchHint}`}
        style={{ aspectRatio: `${width} / ${height}` }}
        onPointerMove={point}
        onPointerDown={point}
        onKeyDown={onKeyDown}
      >
        <canvas ref={picture} width={width} height={height} data-budget={view.budget} />
        {grid && <span class="patch-grid" style={{ backgroundSize: `${100 / columns}% ${100 / rows}%` }} />}
        <span
          class="patch-mark"
          style={{ left: percent(place.column / columns), top: percent(place.row / rows), width: percent(1 / columns), height: percent(1 / rows) }}
        />
      </div>
      <div class="lens">
        <canvas ref={lens} width={patchSide} height={patchSide} aria-hidden="true" />
        <p aria-live="polite">{t.patch(place.row, place.column)}</p>
        <p class="hint">{t.values}</p>
        <p class="hint">{t.patchHint}</p>
      </div>
    </div>
  );
}

export function ImageInspector({ attachment }: { attachment: ImageAttachment }) {
  const [budget, setBudget] = useState<Budget>(attachment.budget);
  const [view, setView] = useState<ModelView | null>(null);
  const [problem, setProblem] = useState('');
  const [grid, setGrid] = useState(true);
  useEffect(() => {
    let over = false;
    const load = async () => {
      const blob = await getMedia(attachment.media);
      if (!blob) throw new Error(strings.media.missing);
      const made = await modelView(blob, budget);
      if (!over) setView(made);
    };
    load().catch((error: Error) => setProblem(error.message));
    return () => void (over = true);
  }, [attachment.media, budget]);
  const size = targetSize(attachment.width, attachment.height, budget);
  return (
    <>
      <div class="inspect-bar">
        <div class="segments" role="group" aria-label={strings.media.detail}>
          {budgets.map((b) => (
            <button key={b} type="button" aria-pressed={b === budget} onClick={() => setBudget(b)}>
              {b}
            </button>
          ))}
        </div>
        <label class="check">
          <input type="checkbox" checked={grid} onChange={(event) => setGrid(event.currentTarget.checked)} /> {t.grid}
        </label>
      </div>
      <p class="facts">
        <b>{t.patches(size.columns, size.rows, size.tokens)}</b>
        <span>{t.resized(attachment.width, attachment.height, size.width, size.height)}</span>
      </p>
      {problem ? <p class="bad">{problem}</p> : view ? <PatchCanvas view={view} grid={grid} /> : <p class="hint">{t.loading}</p>}
    </>
  );
}

const stamp = (seconds: number) => `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;

/** The frames that the model gets: 32, each at the start of its part of the film. */
export function FilmInspector({ attachment }: { attachment: VideoAttachment }) {
  const url = useMediaUrl(attachment.media);
  const [shots, setShots] = useState<string[]>([]);
  const size = targetSize(attachment.width, attachment.height, 70);
  useEffect(() => {
    if (!url) return;
    let over = false;
    const film = document.createElement('video');
    film.muted = true;
    film.src = url;
    const canvas = document.createElement('canvas');
    canvas.width = size.width / 3;
    canvas.height = size.height / 3;
    const take = async () => {
      if (film.readyState < film.HAVE_CURRENT_DATA) await new Promise((resolve, reject) => ((film.onloadeddata = resolve), (film.onerror = reject)));
      for (let i = 0; i < videoFrames && !over; i++) {
        // Not quite 0: seeking to where one is may tell nothing.
        film.currentTime = (attachment.seconds * i) / videoFrames + 1e-4;
        await new Promise((resolve, reject) => ((film.onseeked = resolve), (film.onerror = reject)));
        canvas.getContext('2d')?.drawImage(film, 0, 0, canvas.width, canvas.height);
        const shot = canvas.toDataURL('image/jpeg', 0.7);
        setShots((list) => [...list.slice(0, i), shot]);
      }
    };
    take().catch(() => undefined);
    return () => void (over = true);
  }, [url]);
  return (
    <>
      <p class="facts">
        <b>{t.videoText(videoFrames, size.tokens)}</b>
        <span>{t.resized(attachment.width, attachment.height, size.width, size.height)}</span>
      </p>
      <div class="film-strip">
        {shots.map((shot, i) => (
          <figure key={i}>
            <img src={shot} alt="" />
            <figcaption>{stamp((attachment.seconds * i) / videoFrames)}</figcaption>
          </figure>
        ))}
      </div>
    </>
  );
}
