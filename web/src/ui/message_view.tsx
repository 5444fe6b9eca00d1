import { useComputed } from '@preact/signals';
import { memo } from 'preact/compat';
import { useEffect, useRef, useState } from 'preact/hooks';
import { branch, busy, currentLive, goOn, regenerate, removeMessage, editAndSend, rewrite } from '../model/chat';
import type { LiveReply } from '../model/live';
import { messages, places } from '../model/state';
import { subtree } from '../model/tree';
import type { Message, ToolRound } from '../model/types';
import { strings } from '../strings';
import { AttachmentView } from './attachment_view';
import { Icon, IconButton } from './icons';
import { MarkdownView } from './markdown_view';
import { StatsLine } from './stats';
import { copyText, question, toast, tokensOf } from './view';

const t = strings.message;

function Thought({ text, ms, running }: { text: string; ms: number; running: boolean }) {
  return (
    <details class="thought">
      <summary>
        <Icon name="bulb" /> <span class={running ? 'shimmer' : ''}>{running ? t.thinking : t.thought(ms / 1000)}</span>
      </summary>
      <div class="thought-text">
        <MarkdownView text={text} growing={running} />
      </div>
    </details>
  );
}

function Rounds({ rounds }: { rounds: ToolRound[] }) {
  return (
    <>
      {rounds.flatMap((round, r) => [
        round.text && <MarkdownView key={`t${r}`} text={round.text} growing={false} />,
        ...round.calls.map((call) => (
          <details class="tool" key={`${r}${call.id}`}>
            <summary>
              <Icon name="tool" /> {t.toolCall(call.name)}
            </summary>
            <pre tabindex={0}>{`${call.arguments}\n→ ${call.result ?? ''}`}</pre>
          </details>
        )),
      ])}
    </>
  );
}

/** Fewer bytes are there before the words could be read. */
const leastSent = 1e6;

function Waiting({ live }: { live: LiveReply }) {
  const progress = live.phase.value === 'reading' ? live.progress.value : null;
  return (
    <div class="waiting">
      <span class="shimmer">{progress ? t.reading(progress.done, progress.total) : live.sending.value > leastSent ? t.sending(live.sending.value) : t.waiting}</span>
      {progress && <progress max={progress.total} value={progress.done} aria-label={t.waiting} />}
    </div>
  );
}

/**
 * The only part of the page that renders while a reply comes; and it stays when the reply is whole, so that finished
 * blocks are not made again.
 */
function ReplyBody({ message, live }: { message: Message; live: LiveReply | null }) {
  const text = live ? live.text.value : message.text;
  const thought = live ? live.thought.value : (message.thought ?? '');
  const thoughtMs = message.thoughtMs ?? live?.thoughtMilliseconds() ?? 0;
  return (
    <>
      {thought && <Thought key="thought" text={thought} ms={thoughtMs} running={live?.phase.value === 'thinking'} />}
      {text && <MarkdownView key="text" text={text} growing={live !== null} />}
      {live && !text && !thought && <Waiting live={live} />}
      {live && <StatsLine stats={live.stats.value} />}
    </>
  );
}

const words = (text: string) => text.trim().split(/\s+/).filter(Boolean).length;

function Notice({ message }: { message: Message }) {
  const text =
    message.state === 'lost' ? t.lost(words(message.text))
    : message.state === 'failed' ? t.failed(message.error ?? strings.errors.unknown)
    : message.state === 'stopped' ? t.stopped
    : message.finish === 'length' ? t.length
    : message.warning ? message.warning
    : !message.text && !message.rounds?.length && !message.thought ? t.emptyReply
    : '';
  if (!text) return null;
  const bad = message.state === 'lost' || message.state === 'failed';
  const canGoOn = message.state !== 'done' || message.finish === 'length';
  return (
    <div class={`notice ${bad ? 'bad' : ''}`} role={bad ? 'alert' : undefined}>
      <span>{text}</span>
      {canGoOn && !busy.value && (
        <button type="button" class="button quiet" onClick={() => void goOn(message.id)}>
          {message.text || message.thought ? t.continue : t.regenerate}
        </button>
      )}
    </div>
  );
}

function Editor({ message, onDone }: { message: Message; onDone: () => void }) {
  const [text, setText] = useState(message.text);
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => area.current?.focus(), []);
  const save = () => {
    onDone();
    if (message.role === 'user') void editAndSend(message.id, text, message.attachments);
    else void rewrite(message.id, text);
  };
  return (
    <form class="editor" onSubmit={(event) => (event.preventDefault(), save())}>
      <textarea
        aria-label={t.editLabel}
        value={text}
        ref={area}
        rows={Math.min(16, Math.max(2, text.split('\n').reduce((n, line) => n + 1 + Math.floor(line.length / 60), 0)))}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Escape') event.stopPropagation(), onDone();
          else if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && message.role === 'user') (event.preventDefault(), save());
        }}
      />
      <div class="editor-actions">
        <button type="button" class="button" onClick={onDone}>
          {strings.cancel}
        </button>
        <button type="submit" class="button primary">
          {message.role === 'user' ? t.sendEdit : strings.save}
        </button>
      </div>
    </form>
  );
}

/** Renders only when its own message gets or loses neighbours: there may be hundreds of messages. */
function usePlace(id: string): { at: number; of: number } | undefined {
  const text = useComputed(() => JSON.stringify(places.value.get(id) ?? null)).value;
  return (JSON.parse(text) as { at: number; of: number } | null) ?? undefined;
}

function Actions({ message, onEdit }: { message: Message; onEdit: () => void }) {
  const [copied, setCopied] = useState(false);
  const place = usePlace(message.id);
  const wait = busy.value;
  const said = message.text !== '' || message.role === 'user';
  const copy = async () => {
    if (!(await copyText(message.text))) return;
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  const remove = () => {
    const n = subtree(messages.value, message.id).length;
    question.value = { title: strings.deleteMessageTitle, text: strings.deleteMessageText(n), yes: strings.delete, act: () => removeMessage(message.id).catch((e: Error) => toast(e.message, true)) };
  };
  return (
    <div class="actions">
      {place && (
        <span class="branches">
          <IconButton icon="left" label={t.older} disabled={place.at === 0 || wait} onClick={() => branch(message.id, -1)} />
          <span>{t.branch(place.at + 1, place.of)}</span>
          <IconButton icon="right" label={t.newer} disabled={place.at === place.of - 1 || wait} onClick={() => branch(message.id, 1)} />
        </span>
      )}
      {message.text && <IconButton icon={copied ? 'check' : 'copy'} label={copied ? t.copied : t.copy} onClick={copy} />}
      {said && <IconButton icon="edit" label={t.edit} disabled={wait} onClick={onEdit} />}
      {message.role === 'assistant' && (
        <>
          <IconButton icon="again" label={t.regenerate} disabled={wait} onClick={() => regenerate(message.id)} />
          {(said || message.thought) && <IconButton icon="go" label={t.continue} disabled={wait} onClick={() => goOn(message.id)} />}
          {said && <IconButton icon="tokens" label={t.tokens} onClick={() => (tokensOf.value = message)} />}
        </>
      )}
      <IconButton icon="bin" label={t.delete} disabled={wait} onClick={remove} />
    </div>
  );
}

export const MessageView = memo(function MessageView({ message }: { message: Message }) {
  const [editing, setEditing] = useState(false);
  const live = useComputed(() => (currentLive.value?.message.id === message.id ? currentLive.value : null)).value;
  const mine = message.role === 'user';
  return (
    <article class={`message ${message.role}`} data-id={message.id} aria-label={mine ? t.you : t.model} aria-busy={live !== null}>
      {message.attachments.length > 0 && (
        <div class={`attachments ${message.attachments.length > 2 ? 'many' : ''}`}>
          {message.attachments.map((a, i) => (
            <AttachmentView key={i} attachment={a} />
          ))}
        </div>
      )}
      {message.rounds && <Rounds rounds={message.rounds} />}
      {editing ? (
        <Editor message={message} onDone={() => setEditing(false)} />
      ) : mine ? (
        message.text && <div class="bubble">{message.text}</div>
      ) : (
        <ReplyBody message={message} live={live} />
      )}
      {!live && !mine && <Notice message={message} />}
      {!live && !editing && (
        <footer class="message-foot">
          <Actions message={message} onEdit={() => setEditing(true)} />
          {message.stats && message.stats.replyTokens > 0 && <StatsLine stats={message.stats} />}
        </footer>
      )}
    </article>
  );
});
