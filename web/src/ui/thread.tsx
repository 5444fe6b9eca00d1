import { useEffect, useRef, useState } from 'preact/hooks';
import { busy, currentLive } from '../model/chat';
import { currentId, messages, path } from '../model/state';
import { server } from '../net/server';
import { strings } from '../strings';
import { FirstRun } from './first_run';
import { IconButton } from './icons';
import { MessageView } from './message_view';

const nearPx = 80;
/** Messages that are made at once. */
const portion = 30;

/** How many of the last messages are shown: all, but of a long conversation the end first, so that the page never stands still. */
function useShown(of: number): number {
  const [counted, setCounted] = useState({ id: currentId.value, shown: portion });
  const shown = counted.id === currentId.value ? counted.shown : portion;
  useEffect(() => {
    if (shown >= of && counted.id === currentId.value) return;
    const timer = setTimeout(() => setCounted({ id: currentId.value, shown: shown + portion }));
    return () => clearTimeout(timer);
  }, [currentId.value, shown, of]);
  return shown;
}

/** For screen readers: that an answer is on its way, and what it was when it is whole; not every word on its way. */
function Told() {
  const live = currentLive.value;
  const last = useRef<string | null>(null);
  if (live) last.current = live.message.id;
  const done = live || !last.current ? undefined : messages.value.get(last.current);
  const words = done?.text.trim().split(/\s+/).length ?? 0;
  const phase = live?.phase.value;
  return (
    <p class="unseen" role="status">
      {live ? (phase === 'thinking' ? strings.message.thinking : strings.message.waiting)
        : !done ? ''
        : done.state === 'done' && done.text ? strings.message.answered(words)
        : strings.message.ended}
    </p>
  );
}

/** Keeps the end in view while a reply comes, until the person scrolls up. */
export function Thread() {
  const box = useRef<HTMLElement>(null);
  const following = useRef(true);
  const [away, setAway] = useState(false);
  const list = path.value;
  const shown = useShown(list.length);

  const toEnd = () => {
    const element = box.current;
    if (element && path.value.length) element.scrollTop = element.scrollHeight;
  };
  const onScroll = () => {
    const element = box.current;
    if (!element) return;
    const left = element.scrollHeight - element.scrollTop - element.clientHeight;
    following.current = left < nearPx;
    setAway(left > 400);
  };
  useEffect(() => {
    following.current = true;
    toEnd();
  }, [currentId.value, list.at(-1)?.id]);
  useEffect(() => {
    const inner = box.current?.firstElementChild;
    if (!inner) return;
    const observer = new ResizeObserver(() => following.current && toEnd());
    observer.observe(inner);
    return () => observer.disconnect();
  }, [list.length === 0]);

  return (
    <main class="thread" ref={box} onScroll={onScroll} tabindex={-1} aria-label={strings.chat}>
      {list.length === 0 ? (
        <FirstRun />
      ) : (
        <div class="messages" role="log" aria-live="off">
          {list.slice(-shown).map((m) => (
            <MessageView key={m.id} message={m} />
          ))}
          {server.value?.small && !busy.value && !list.some((m) => m.attachments.length) && <p class="notice">{strings.message.noChat}</p>}
        </div>
      )}
      {away && <IconButton icon="down" class="jump" label={strings.message.jump} onClick={toEnd} />}
      <Told />
    </main>
  );
}
