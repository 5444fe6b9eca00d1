import { useEffect, useRef, useState } from 'preact/hooks';
import { currentLive } from '../model/chat';
import { currentId, path } from '../model/state';
import { strings } from '../strings';
import { FirstRun } from './first_run';
import { IconButton } from './icons';
import { MessageView } from './message_view';

const nearPx = 80;

/** Keeps the end in view while a reply comes, until the person scrolls up. */
export function Thread() {
  const box = useRef<HTMLElement>(null);
  const following = useRef(true);
  const [away, setAway] = useState(false);
  const list = path.value;
  const live = currentLive.value;

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
          {list.map((m) => (
            <MessageView key={m.id} message={m} />
          ))}
        </div>
      )}
      {away && <IconButton icon="down" class="jump" label={strings.message.jump} onClick={toEnd} />}
      <p class="unseen" role="status">
        {live ? strings.message.waiting : ''}
      </p>
    </main>
  );
}
