import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { strings } from '../strings';
import { IconButton } from './icons';
import { question } from './view';

/** A window over the page. The browser keeps the focus in it, gives it back, and closes it on Esc. */
export function Dialog(props: { title: string; onClose: () => void; class?: string; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    const opener = document.activeElement as HTMLElement | null;
    dialog?.showModal();
    return () => {
      dialog?.close();
      opener?.focus?.();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={`dialog ${props.class ?? ''}`}
      aria-labelledby={id}
      onCancel={(event) => (event.preventDefault(), props.onClose())}
      onClick={(event) => event.target === ref.current && props.onClose()}
    >
      <div class="dialog-body">
        <header class="dialog-head">
          <h2 id={id}>{props.title}</h2>
          <IconButton icon="close" label={strings.close} onClick={props.onClose} />
        </header>
        {props.children}
      </div>
    </dialog>
  );
}

export function QuestionDialog() {
  const asked = question.value;
  if (!asked) return null;
  const close = () => (question.value = null);
  return (
    <Dialog title={asked.title} onClose={close} class="small">
      <p>{asked.text}</p>
      <div class="dialog-actions">
        <button type="button" class="button" autofocus onClick={close}>
          {strings.cancel}
        </button>
        <button type="button" class="button danger" onClick={() => (close(), void asked.act())}>
          {asked.yes}
        </button>
      </div>
    </Dialog>
  );
}
