import { readFileSync } from 'node:fs';

export interface Golden {
  dtype: string;
  shape: number[];
  bytes: Uint8Array;
}

/** Tensors of a .safetensors file below tests/fixtures. */
export function readGolden(name: string): Map<string, Golden> {
  const file = readFileSync(new URL(`../../tests/fixtures/${name}`, import.meta.url));
  const begin = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, begin)) as Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  return new Map(
    Object.entries(header)
      .filter(([key]) => key !== '__metadata__')
      .map(([key, { dtype, shape, data_offsets: [from, to] }]) => [key, { dtype, shape, bytes: Uint8Array.from(file.subarray(begin + from, begin + to)) }]),
  );
}

/** [height, width, 3] u8 → RGBA, opaque. */
export function rgbaOf({ shape, bytes }: Golden): { width: number; height: number; data: Uint8ClampedArray } {
  const [height, width] = shape as [number, number];
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let i = 0; i < width * height; i++) data.set(bytes.subarray(i * 3, i * 3 + 3), i * 4);
  return { width, height, data };
}

/** Of colours; alpha is left out. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} values against ${b.length}`);
  let largest = 0;
  for (let i = 0; i < a.length; i++) if (i % 4 !== 3) largest = Math.max(largest, Math.abs((a[i] as number) - (b[i] as number)));
  return largest;
}
