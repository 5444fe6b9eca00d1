import { useEffect, useRef, useState } from 'preact/hooks';
import { acceptedFiles } from '../media/attach';
import { attachmentTokens } from '../media/cost';
import { currentLive, stop } from '../model/chat';
import { currentId, settings } from '../model/state';
import { link, server } from '../net/server';
import { strings } from '../strings';
import { AttachmentView } from './attachment_view';
import { Camera, photoBy } from './camera';
import { addFiles, draftAttachments, draftText, readingFiles, removeDraft, sendDraft, setBudget, setSound } from './draft';
import { IconButton } from './icons';
import { Recorder } from './recorder';
import { applySettings } from './settings_panel';
import { roomLeft } from './stats';
import { device, pickFiles, touch } from './view';

const t = strings.composer;

const filesOf = (data: DataTransfer | null): File[] => [...(data?.files ?? [])];

/** Wherever the focus is. Spreadsheets and word processors add a picture of the text that was copied: the text is meant. */
function usePaste(): void {
  useEffect(() => {
    const paste = (event: ClipboardEvent) => {
      const files = filesOf(event.clipboardData);
      const text = event.clipboardData?.getData('text/plain') ?? '';
      // File managers add the files' names.
      if (!files.length || (text.trim() && !files.some((file) => text.includes(file.name)))) return;
      event.preventDefault();
      void addFiles(files);
    };
    addEventListener('paste', paste);
    return () => removeEventListener('paste', paste);
  }, []);
}

/** Files may be dropped anywhere on the page. */
function useDrop(): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    let depth = 0;
    const has = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    const enter = (event: DragEvent) => has(event) && (depth++, setOver(true));
    const leave = (event: DragEvent) => has(event) && --depth <= 0 && ((depth = 0), setOver(false));
    const hover = (event: DragEvent) => has(event) && event.preventDefault();
    const drop = (event: DragEvent) => {
      if (!has(event)) return;
      event.preventDefault();
      depth = 0;
      setOver(false);
      void addFiles(filesOf(event.dataTransfer));
    };
    const pairs = [['dragenter', enter], ['dragleave', leave], ['dragover', hover], ['drop', drop]] as const;
    for (const [name, listener] of pairs) addEventListener(name, listener as EventListener);
    return () => pairs.forEach(([name, listener]) => removeEventListener(name, listener as EventListener));
  }, []);
  return over;
}

export function focusComposer(): void {
  document.querySelector<HTMLTextAreaElement>('#composer-text')?.focus();
}

function editLast(): void {
  const buttons = document.querySelectorAll<HTMLButtonElement>(`.message.user button[aria-label="${strings.message.edit}"]`);
  buttons[buttons.length - 1]?.click();
}

export function Composer() {
  const area = useRef<HTMLTextAreaElement>(null);
  const dropping = useDrop();
  usePaste();
  const text = draftText.value;
  const attachments = draftAttachments.value;
  const live = currentLive.value;
  const ready = (text.trim() || attachments.length) && !readingFiles.value;

  useEffect(() => {
    const box = area.current;
    if (!box) return;
    box.style.height = 'auto';
    box.style.height = `${Math.min(box.scrollHeight, window.innerHeight * 0.4)}px`;
  }, [text]);
  useEffect(() => {
    if (matchMedia('(pointer: fine)').matches) area.current?.focus();
  }, [currentId.value]);

  const close = (file: File | null) => ((device.value = null), file && void addFiles([file]));
  const photo = () => (photoBy.value === 'phone' ? pickFiles('image/*', false, true).then(addFiles) : (device.value = 'camera'));
  const submit = () => {
    if (ready && !live) void sendDraft();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    } else if (event.key === 'ArrowUp' && !text) {
      event.preventDefault();
      editLast();
    } else if ((event.key === 'PageUp' || event.key === 'PageDown') && !text.includes('\n')) {
      // The box has the focus most of the time, and nothing to scroll.
      const thread = document.querySelector('.thread');
      thread?.scrollBy({ top: thread.clientHeight * (event.key === 'PageUp' ? -0.85 : 0.85) });
    }
  };
  const total = attachments.reduce((sum, a) => sum + attachmentTokens(a), 0);
  const vision = server.value?.vision ?? true;
  const room = roomLeft.value;
  const placeholders = touch ? [t.placeholderTouch, t.placeholderSmallTouch] : [t.placeholder, t.placeholderSmall];
  return (
    <section class="composer-wrap" aria-label={t.region}>
      {dropping && <div class="drop-veil">{t.drop}</div>}
      <form class="composer" onSubmit={(event) => (event.preventDefault(), submit())}>
        {(attachments.length > 0 || readingFiles.value > 0) && (
          <div class="draft-attachments">
            {attachments.map((a, i) => (
              <AttachmentView key={i} attachment={a} onRemove={() => removeDraft(i)} onBudget={(b) => setBudget(i, b)} onSound={(on) => setSound(i, on)} />
            ))}
            {readingFiles.value > 0 && <span class="hint shimmer">{t.reading}</span>}
            {total > room ? (
              <p class="warn total" role="status">
                {t.tooMuch(total, room)}
              </p>
            ) : (
              attachments.length > 1 && <p class="hint total">{t.total(total)}</p>
            )}
          </div>
        )}
        {device.value === 'microphone' && <Recorder onDone={close} />}
        {device.value === 'camera' && <Camera onDone={close} />}
        <textarea
          id="composer-text"
          ref={area}
          rows={1}
          aria-label={t.label}
          placeholder={placeholders[server.value?.small ? 1 : 0]}
          value={text}
          onInput={(event) => (draftText.value = event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        <div class="composer-row">
          <IconButton icon="clip" label={t.attach} onClick={() => pickFiles(acceptedFiles, true).then(addFiles)} />
          {vision && photoBy.value && <IconButton icon="camera" label={t.camera} onClick={photo} />}
          {(server.value?.audio ?? true) && (
            <IconButton icon="mic" label={t.microphone} pressed={device.value === 'microphone'} onClick={() => (device.value = device.value ? null : 'microphone')} />
          )}
          {!server.value?.small && (
            <button
              type="button"
              class="chip"
              aria-pressed={settings.value.thinking}
              title={t.thinkHint}
              onClick={() => void applySettings({ thinking: !settings.value.thinking })}
            >
              {t.think}
            </button>
          )}
          <span class="spacer" />
          {live ? (
            <IconButton icon="stop" class="send" label={t.stop} onClick={() => stop()} />
          ) : (
            <IconButton icon="send" class="send" label={t.send} disabled={!ready || link.value === 'key'} onClick={submit} />
          )}
        </div>
      </form>
      <p class="composer-hint">{t.hint}</p>
    </section>
  );
}
