import type { Budget } from '../model/types';
import { readPictureFile, turnUpright, uprightSize } from './picture_file';
import ResizeWorker from './resize_worker?worker';
import { straightPixels } from './straight_pixels';
import { targetSize, type TargetSize } from './target_size';

export interface ModelView {
  budget: Budget;
  size: TargetSize;
  pixels: ImageData;
}

/** The picture as the model gets it. The resize is the reference's; the decoder is the browser's. */
export async function modelView(file: Blob, budget: Budget): Promise<ModelView> {
  const { blob, orientation, ground } = await readPictureFile(file);
  // Colours as they are in the file: the reference converts none. Alpha is dropped, so it must not be multiplied in.
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  const stored = straightPixels(bitmap);
  if (ground) for (let i = 0; i < stored.length; i += 4) if (stored[i + 3] === 0) stored.set(ground, i);
  const rgba = turnUpright(stored, bitmap.width, bitmap.height, orientation);
  const [width, height] = uprightSize(bitmap.width, bitmap.height, orientation);
  bitmap.close();
  const size = targetSize(width, height, budget);
  const worker = new ResizeWorker();
  try {
    const resized = await new Promise<Uint8ClampedArray<ArrayBuffer>>((resolve, reject) => {
      worker.onmessage = (event) => resolve(event.data as Uint8ClampedArray<ArrayBuffer>);
      worker.onerror = (event) => reject(new Error(event.message));
      worker.postMessage({ rgba, width, height, toWidth: size.width, toHeight: size.height }, [rgba.buffer]);
    });
    return { budget, size, pixels: new ImageData(resized, size.width, size.height) };
  } finally {
    worker.terminate();
  }
}
