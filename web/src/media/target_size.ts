import type { Budget } from '../model/types';

/** Side of a model patch in pixels. */
export const patchSide = 48;

export interface TargetSize {
  width: number;
  height: number;
  columns: number;
  rows: number;
  /** Soft tokens: one for each patch. */
  tokens: number;
}

/**
 * What an image of width × height pixels is resized to: as src/media/target_size.cc, docs/spec/multimodal.md §2.
 * Small images are enlarged to fill the budget; each side is rounded down to whole patches by itself.
 */
export function targetSize(width: number, height: number, budget: Budget): TargetSize {
  if (!(width >= 1 && height >= 1)) throw new RangeError(`an image of ${width}×${height} pixels has no target size`);
  const factor = Math.sqrt((budget * patchSide * patchSide) / (height * width));
  let rows = Math.floor((factor * height) / patchSide);
  let columns = Math.floor((factor * width) / patchSide);
  if (rows === 0) {
    rows = 1;
    columns = Math.min(Math.floor(width / height), budget);
  } else if (columns === 0) {
    columns = 1;
    rows = Math.min(Math.floor(height / width), budget);
  }
  return { width: columns * patchSide, height: rows * patchSide, columns, rows, tokens: columns * rows };
}
