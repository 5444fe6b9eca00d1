import { attachmentTokens, trainedSeconds } from '../media/cost';
import { budgets, type Attachment, type Budget } from '../model/types';
import { server } from '../net/server';
import { strings } from '../strings';
import { Icon, IconButton } from './icons';
import { useMediaUrl } from './media_url';
import { inspected } from './view';

const t = strings.media;

function Preview({ attachment }: { attachment: Exclude<Attachment, { kind: 'text' }> }) {
  const url = useMediaUrl(attachment.media);
  if (url === null) return <p class="hint">{t.missing}</p>;
  if (!url) return <div class="thumb" />;
  switch (attachment.kind) {
    case 'image':
      return (
        <button type="button" class="thumb" aria-label={t.open(attachment.name)} title={t.view} onClick={() => (inspected.value = attachment)}>
          <img src={url} alt={attachment.name} width={attachment.width} height={attachment.height} />
        </button>
      );
    case 'audio':
      return (
        <div class="sound">
          <audio controls src={url} aria-label={attachment.name} />
          <IconButton icon="pulse" label={t.open(attachment.name)} onClick={() => (inspected.value = attachment)} />
        </div>
      );
    case 'video':
      return (
        <div class="film">
          {/* A film that a person made has no captions to offer. */}
          <video controls muted src={url} aria-label={attachment.name} />
          <IconButton icon="grid" label={t.open(attachment.name)} onClick={() => (inspected.value = attachment)} />
        </div>
      );
  }
}

function Detail(props: { attachment: Extract<Attachment, { kind: 'image' }>; onChange: (budget: Budget) => void }) {
  const { attachment } = props;
  return (
    <select
      class="detail"
      aria-label={t.detailOf(attachment.name)}
      title={t.detailOf(attachment.name)}
      value={attachment.budget}
      onChange={(event) => props.onChange(Number(event.currentTarget.value) as Budget)}
    >
      {budgets.map((b) => (
        <option key={b} value={b}>
          {strings.composer.cost(attachmentTokens({ ...attachment, budget: b }))}
        </option>
      ))}
    </select>
  );
}

/** A part of a message. With the on… functions: one that is not sent yet. */
export function AttachmentView(props: { attachment: Attachment; onRemove?: () => void; onBudget?: (budget: Budget) => void; onSound?: (on: boolean) => void }) {
  const { attachment } = props;
  const tokens = attachmentTokens(attachment);
  const trained = server.value?.trainedSeconds ?? trainedSeconds.big;
  return (
    <figure class={`attachment ${attachment.kind}`}>
      {attachment.kind === 'text' ? (
        <details class="text-file">
          <summary>
            <Icon name="file" /> {attachment.name}
          </summary>
          <pre tabindex={0}>{attachment.text.slice(0, 20000)}</pre>
        </details>
      ) : (
        <Preview attachment={attachment} />
      )}
      <figcaption>
        {attachment.kind !== 'text' && <span class="file-name">{attachment.name}</span>}
        {attachment.kind === 'image' && props.onBudget ? (
          <Detail attachment={attachment} onChange={props.onBudget} />
        ) : (
          <span class="cost">{attachment.kind === 'image' || attachment.kind === 'audio' ? strings.composer.cost(tokens) : strings.composer.about(tokens)}</span>
        )}
        {attachment.kind === 'video' && attachment.sound !== undefined && props.onSound && (
          <label class="check">
            <input type="checkbox" checked={attachment.sound} onChange={(event) => props.onSound?.(event.currentTarget.checked)} /> {t.withSound}
          </label>
        )}
        {props.onRemove && <IconButton icon="close" label={t.remove(attachment.name)} onClick={props.onRemove} />}
      </figcaption>
      {attachment.kind === 'audio' && attachment.seconds > trained && props.onRemove && (
        <p class="warn">{t.longSound(attachment.seconds, trained)}</p>
      )}
    </figure>
  );
}
