import type { Attachment } from '../model/types';
import { targetSize } from './target_size';

export const sampleRate = 16000;
/** One token's sound: 40 ms. */
export const frameSamples = 640;
/** The longest sound that Gemma 4 12B was trained on, and the small default model (train/tasks.py). */
export const trainedSeconds = { big: 30, small: 12 };
export const videoFrames = 32;
const videoBudget = 70;
const markers = 2; // begin and end

export const audioTokens = (seconds: number): number => Math.ceil((seconds * sampleRate) / frameSamples - 1e-9);

/** Soft tokens and markers; for text, a guess of four characters a token. */
export function attachmentTokens(attachment: Attachment): number {
  switch (attachment.kind) {
    case 'image':
      return targetSize(attachment.width, attachment.height, attachment.budget).tokens + markers;
    case 'audio':
      return audioTokens(attachment.seconds) + markers;
    case 'video':
      // Each frame has a time stamp ("00:05 " and a space: seven tokens).
      return videoFrames * (targetSize(attachment.width, attachment.height, videoBudget).tokens + markers + 7) + (attachment.sound ? audioTokens(attachment.seconds) + markers : 0);
    case 'text':
      return textTokens(attachment.text);
  }
}

export const textTokens = (text: string): number => Math.ceil(text.length / 4);
