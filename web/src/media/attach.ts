import { putMedia } from '../model/store';
import type { Attachment, Budget } from '../model/types';
import { strings } from '../strings';
import { decodeSound } from './sound';
import { readPictureFile, uprightSize } from './picture_file';
import { encodeWav } from './wav';
import { sampleRate } from './cost';

/** What went wrong with a file, in words for the person. */
export class AttachError extends Error {}

export interface Limits {
  vision: boolean;
  audio: boolean;
  video: boolean;
  trainedSeconds: number;
  /** Bytes that a request may have; 0: not known, as below. */
  maxBody: number;
  /** How long a sound may be. */
  maxAudioSeconds: number;
}

// What the server's decoders read. Other pictures that the browser can show are sent as PNG.
const sentAsIs = /^image\/(png|jpeg|webp|gif|bmp|tiff)$/;
const soundAsIs = /^audio\/(wav|x-wav|wave|mpeg|mp3|flac|x-flac|ogg|opus|mp4|x-m4a)$/;
const byExtension: Record<string, string> = {
  wav: 'audio/wav', mp3: 'audio/mpeg', flac: 'audio/flac', ogg: 'audio/ogg', opus: 'audio/ogg', m4a: 'audio/mp4',
  mp4: 'video/mp4', webm: 'video/webm', mov: 'video/quicktime', mkv: 'video/x-matroska',
  svg: 'image/svg+xml', pdf: 'application/pdf', png: 'image/png', jpg: 'image/jpeg', jpeg: 'image/jpeg', webp: 'image/webp', gif: 'image/gif', bmp: 'image/bmp',
};
const maxTextBytes = 1 << 20;
const maxPixels = 100_000_000;

export const acceptedFiles =
  'image/*,audio/*,video/mp4,video/webm,video/quicktime,text/*,.md,.json,.csv,.xml,.yaml,.yml,.toml,.js,.ts,.py,.c,.h,.cc,.cpp,.rs,.go,.java,.sh,.sql,.log';

export function typeOf(name: string, type: string): string {
  return type.split(';')[0] || byExtension[name.split('.').pop()?.toLowerCase() ?? ''] || '';
}

/** Reads a file far enough to show it and to say what it costs; keeps its bytes in the store. Throws AttachError. */
export async function attach(file: File, conversation: string, budget: Budget, limits: Limits): Promise<Attachment> {
  const mime = typeOf(file.name, file.type);
  const name = file.name || strings.media.pasted;
  if (!file.size) throw new AttachError(strings.media.empty(name));
  // Base64 makes four bytes of three.
  if (limits.maxBody && file.size * 1.34 > limits.maxBody) throw new AttachError(strings.media.tooBig(name, file.size, limits.maxBody));
  if (mime.startsWith('image/')) {
    if (!limits.vision) throw new AttachError(strings.media.noVision);
    return image(file, name, mime, conversation, budget);
  }
  if (mime.startsWith('audio/')) {
    if (!limits.audio) throw new AttachError(strings.media.noAudio);
    return audio(file, name, mime, conversation, limits.maxAudioSeconds || Infinity);
  }
  if (mime.startsWith('video/')) {
    if (!limits.video) throw new AttachError(strings.media.noVideo);
    return video(file, name, mime, conversation, limits);
  }
  if (mime === 'application/pdf') throw new AttachError(strings.media.pdf(name));
  return textFile(file, name);
}

async function image(file: Blob, name: string, mime: string, conversation: string, budget: Budget): Promise<Attachment> {
  const { blob: stored, orientation } = await readPictureFile(file);
  const bitmap = await (mime === 'image/svg+xml' ? drawing(file) : createImageBitmap(stored)).catch(() => {
    throw new AttachError(strings.media.notAnImage(name));
  });
  const [width, height] = uprightSize(bitmap.width, bitmap.height, orientation);
  if (width * height > maxPixels) throw new AttachError(strings.media.tooManyPixels(name, width, height));
  let blob = file;
  if (!sentAsIs.test(mime)) {
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext('2d')?.drawImage(bitmap, 0, 0);
    blob = await canvas.convertToBlob({ type: 'image/png' });
    mime = 'image/png';
  }
  bitmap.close();
  const media = await putMedia(conversation, blob);
  return { kind: 'image', media, name, mime, bytes: blob.size, width, height, budget };
}

/** Lines have no pixels: at least 1,024 on the longer side. */
async function drawing(file: Blob): Promise<ImageBitmap> {
  const picture = new Image();
  picture.src = URL.createObjectURL(file);
  try {
    await picture.decode();
    const [width, height] = [picture.naturalWidth || 1024, picture.naturalHeight || 1024];
    const scale = Math.max(1, 1024 / Math.max(width, height));
    const canvas = new OffscreenCanvas(Math.round(width * scale), Math.round(height * scale));
    const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
    // What is not drawn on is paper: most drawings are dark, and alpha is dropped.
    context.fillStyle = '#fff';
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    return canvas.transferToImageBitmap();
  } finally {
    URL.revokeObjectURL(picture.src);
  }
}

async function audio(file: Blob, name: string, mime: string, conversation: string, longest: number): Promise<Attachment> {
  let samples: Float32Array;
  try {
    samples = await decodeSound(await file.arrayBuffer());
  } catch {
    throw new AttachError(strings.media.notASound(name));
  }
  const seconds = samples.length / sampleRate;
  if (!samples.length) throw new AttachError(strings.media.empty(name));
  if (seconds > longest) throw new AttachError(strings.media.soundTooLong(name, seconds, longest));
  let blob = file;
  if (!soundAsIs.test(mime)) {
    blob = new Blob([encodeWav(samples, sampleRate)], { type: 'audio/wav' });
    mime = 'audio/wav';
  }
  return { kind: 'audio', media: await putMedia(conversation, blob), name, mime, bytes: blob.size, seconds };
}


async function hasSound(file: Blob): Promise<boolean> {
  return decodeSound(await file.arrayBuffer()).then((samples) => samples.length > 0, () => false);
}

async function video(file: Blob, name: string, mime: string, conversation: string, limits: Limits): Promise<Attachment> {
  const element = document.createElement('video');
  const url = URL.createObjectURL(file);
  try {
    const found = await new Promise<{ width: number; height: number; seconds: number }>((resolve, reject) => {
      element.onloadedmetadata = () => resolve({ width: element.videoWidth, height: element.videoHeight, seconds: element.duration });
      element.onerror = () => reject(new AttachError(strings.media.notAVideo(name)));
      element.muted = true;
      element.src = url;
    });
    if (!found.width || !Number.isFinite(found.seconds)) throw new AttachError(strings.media.notAVideo(name));
    const audible = limits.audio && found.seconds <= (limits.maxAudioSeconds || Infinity);
    const sound = audible && (await hasSound(file)) ? { sound: found.seconds <= limits.trainedSeconds } : {};
    return { kind: 'video', media: await putMedia(conversation, file), name, mime, bytes: file.size, ...found, ...sound };
  } finally {
    URL.revokeObjectURL(url);
  }
}

async function textFile(file: Blob, name: string): Promise<Attachment> {
  if (file.size > maxTextBytes) throw new AttachError(strings.media.textTooLong(name));
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
    if (text.includes('\0')) throw new TypeError('binary');
    return { kind: 'text', name, text };
  } catch {
    throw new AttachError(strings.media.unknownType(name));
  }
}
