import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { attachmentTokens, audioTokens } from '../../src/media/cost';
import { resizeRgba } from '../../src/media/resize';
import { exifOrientation, turnUpright, uprightSize } from '../../src/media/picture_file';
import { targetSize } from '../../src/media/target_size';
import { encodeWav, peaks } from '../../src/media/wav';
import { budgets, type Budget } from '../../src/model/types';

/** docs/spec/multimodal.md §2: the reference's sizes for five budgets, height × width → tokens. */
const spec = readFileSync(new URL('../../../docs/spec/multimodal.md', import.meta.url), 'utf8');
const rows = [...spec.matchAll(/^\| ([\d×, ]+|any square [^|]+) \|((?: \d+×\d+ → \d+ \|){5})/gm)];

describe('target size', () => {
  it('is the reference’s for every vector of the specification', () => {
    expect(rows.length).toBeGreaterThanOrEqual(7);
    let checked = 0;
    for (const [, sources, cells] of rows as unknown as [string, string, string][]) {
      const expected = [...cells.matchAll(/(\d+)×(\d+) → (\d+)/g)].map((m) => m.slice(1).map(Number));
      for (const [, w, h] of sources.matchAll(/(\d+)×(\d+)/g)) {
        budgets.forEach((budget, i) => {
          const size = targetSize(Number(w), Number(h), budget);
          expect([size.height, size.width, size.tokens], `${w}×${h} at ${budget}`).toEqual(expected[i]);
          checked++;
        });
      }
    }
    expect(checked).toBeGreaterThan(60);
  });
  it('is the reference’s for its own list', () => {
    const cases = JSON.parse(readFileSync(new URL('../../../tests/fixtures/tiny/cases.json', import.meta.url), 'utf8')) as { name: string; rows?: number[][] }[];
    const list = cases.find((c) => c.name === 'resize_rule')?.rows ?? [];
    for (const [h, w, budget, height, width, tokens] of list as [number, number, Budget, number, number, number][]) {
      const size = targetSize(w, h, budget);
      expect([size.height, size.width, size.tokens], `${w}×${h} at ${budget}`).toEqual([height, width, tokens]);
    }
    expect(list.length).toBeGreaterThanOrEqual(60);
  });
  it('never takes more than its budget', () => {
    let seed = 7;
    const next = (n: number) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n + 1;
    for (let i = 0; i < 2000; i++) {
      const [w, h] = [next(9000), next(9000)];
      const budget = budgets[i % budgets.length] as Budget;
      const size = targetSize(w, h, budget);
      expect(size.tokens, `${w}×${h}`).toBeGreaterThanOrEqual(1);
      expect(size.tokens, `${w}×${h} at ${budget}`).toBeLessThanOrEqual(budget);
    }
  });
  it('refuses what is no picture', () => expect(() => targetSize(0, 5, 280)).toThrow(RangeError));
});

describe('cost', () => {
  it('counts frames of 40 ms', () => {
    expect(audioTokens(0.04)).toBe(1);
    expect(audioTokens(0.0401)).toBe(2);
    expect(audioTokens(30)).toBe(750);
  });
  it('adds the markers', () => {
    const image = { kind: 'image', media: '', name: '', mime: '', bytes: 0, width: 1280, height: 720, budget: 280 } as const;
    expect(attachmentTokens(image)).toBe(266);
  });
});

describe('resize', () => {
  const flat = (w: number, h: number, value: number) => new Uint8ClampedArray(w * h * 4).fill(value);
  it('keeps a flat picture flat, any size', () => {
    for (const [w, h, tw, th] of [[10, 7, 48, 96], [300, 200, 48, 48], [1, 1, 96, 48]] as const) {
      const out = resizeRgba(flat(w, h, 137), w, h, tw, th);
      for (let i = 0; i < out.length; i++) expect(out[i]).toBe(i % 4 === 3 ? 255 : 137);
    }
  });
  it('copies when the size stays, and drops alpha', () => {
    const source = new Uint8ClampedArray([1, 2, 3, 0, 5, 6, 7, 128]);
    expect([...resizeRgba(source, 2, 1, 2, 1)]).toEqual([1, 2, 3, 255, 5, 6, 7, 255]);
  });
  it('mirrors with its source', () => {
    const w = 23, h = 4;
    const source = Uint8ClampedArray.from({ length: w * h * 4 }, (_, i) => (i * 37) % 251);
    const mirror = (data: Uint8ClampedArray, width: number) => {
      const out = new Uint8ClampedArray(data.length);
      for (let p = 0; p < data.length / 4; p++) {
        const x = p % width;
        out.set(data.subarray((p - x + width - 1 - x) * 4, (p - x + width - x) * 4), p * 4);
      }
      return out;
    };
    expect(resizeRgba(mirror(source, w), w, h, 48, 48)).toEqual(mirror(resizeRgba(source, w, h, 48, 48), 48));
  });
});

describe('pictures that EXIF turns', () => {
  const tiff = (little: boolean, orientation: number, tag = 274) => {
    const data = new DataView(new ArrayBuffer(26));
    data.setUint16(0, little ? 0x4949 : 0x4d4d);
    data.setUint16(2, 42, little);
    data.setUint32(4, 8, little);
    data.setUint16(8, 1, little);
    data.setUint16(10, tag, little);
    data.setUint16(12, 3, little);
    data.setUint32(14, 1, little);
    data.setUint16(18, orientation, little);
    return new Uint8Array(data.buffer);
  };
  it('say so in either order of bytes; what is damaged says nothing', () => {
    for (const little of [true, false]) expect(exifOrientation(tiff(little, 6))).toBe(6);
    expect(exifOrientation(Uint8Array.of(...Buffer.from('Exif\0\0'), ...tiff(true, 8)))).toBe(8);
    expect(exifOrientation(tiff(true, 9))).toBe(1);
    expect(exifOrientation(tiff(true, 6, 275))).toBe(1);
    for (let cut = 0; cut < 22; cut++) expect(exifOrientation(tiff(true, 6).subarray(0, cut))).toBe(1);
  });
  it('are turned as src/media/image.cc turns them', () => {
    // 3 × 2: abc / def
    const letters = new Uint8ClampedArray([...'abcdef'].flatMap((c) => [c.charCodeAt(0), 0, 0, 255]));
    const turned = (orientation: number) => String.fromCharCode(...turnUpright(letters.slice(), 3, 2, orientation).filter((_, i) => i % 4 === 0));
    expect([1, 2, 3, 4, 5, 6, 7, 8].map(turned)).toEqual(['abcdef', 'cbafed', 'fedcba', 'defabc', 'adbecf', 'daebfc', 'fcebda', 'cfbead']);
    expect([1, 4, 5, 8].map((orientation) => uprightSize(3, 2, orientation))).toEqual([[3, 2], [3, 2], [2, 3], [2, 3]]);
  });
});

describe('wav', () => {
  it('writes 16-bit mono that reads back', () => {
    const bytes = encodeWav(new Float32Array([0, 0.5, -1, 2]), 16000);
    const view = new DataView(bytes.buffer);
    expect(String.fromCharCode(...bytes.subarray(0, 4))).toBe('RIFF');
    expect(view.getUint32(24, true)).toBe(16000);
    expect([0, 1, 2, 3].map((i) => view.getInt16(44 + 2 * i, true))).toEqual([0, 16384, -32768, 32767]);
    expect(bytes.length).toBe(52);
  });
  it('finds peaks', () => expect(peaks(new Float32Array([0.1, -0.9, 0.2, 0.3]), 2).map((v) => Math.round(v * 10))).toEqual([9, 3]));
});
