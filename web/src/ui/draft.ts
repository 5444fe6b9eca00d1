import { signal } from '@preact/signals';
import { attach, AttachError, type Limits } from '../media/attach';
import { trainedSeconds } from '../media/cost';
import { send } from '../model/chat';
import { currentId, draftId, settings } from '../model/state';
import type { Attachment, Budget } from '../model/types';
import { server } from '../net/server';
import { strings } from '../strings';
import { toast } from './view';

/** What is being written, before it is sent. */
const textName = 'tessera.draft';
export const draftText = signal(sessionStorage.getItem(textName) ?? '');
// A reload keeps it.
draftText.subscribe((text) => (text ? sessionStorage.setItem(textName, text) : sessionStorage.removeItem(textName)));
export const draftAttachments = signal<Attachment[]>([]);
export const readingFiles = signal(0);

const anyLimits: Limits = { vision: true, audio: true, video: true, trainedSeconds: trainedSeconds.big, maxBody: 0, maxAudioSeconds: 0 };

/** Files from a drop, the clipboard, a picker, the camera or the microphone. What cannot be taken is said. */
export async function addFiles(files: readonly File[]): Promise<void> {
  if (!files.length) return;
  readingFiles.value++;
  try {
    const conversation = currentId.value ?? draftId.value;
    for (const file of files) {
      try {
        const added = await attach(file, conversation, settings.value.imageBudget, server.value ?? anyLimits);
        draftAttachments.value = [...draftAttachments.value, added];
      } catch (error) {
        toast(error instanceof AttachError ? error.message : strings.errors.storage((error as Error).message), true);
      }
    }
  } finally {
    readingFiles.value--;
  }
}

export const setBudget = (index: number, budget: Budget): void => {
  draftAttachments.value = draftAttachments.value.map((a, i) => (i === index && a.kind === 'image' ? { ...a, budget } : a));
};
export const setSound = (index: number, sound: boolean): void => {
  draftAttachments.value = draftAttachments.value.map((a, i) => (i === index && a.kind === 'video' ? { ...a, sound } : a));
};
export const removeDraft = (index: number): void => {
  draftAttachments.value = draftAttachments.value.filter((_, i) => i !== index);
};

export async function sendDraft(): Promise<void> {
  const text = draftText.value.trim();
  const attachments = draftAttachments.value;
  if ((!text && !attachments.length) || readingFiles.value) return;
  draftText.value = '';
  draftAttachments.value = [];
  try {
    await send(text, attachments);
  } catch (error) {
    // Not kept by the store: give the words back.
    draftText.value = text;
    draftAttachments.value = attachments;
    toast(strings.errors.storage((error as Error).message), true);
  }
}
