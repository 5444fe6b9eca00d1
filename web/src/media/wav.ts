/** 16-bit mono WAV. samples: [-1, 1]; what lies outside is clipped. */
export function encodeWav(samples: Float32Array, hz: number): Uint8Array<ArrayBuffer> {
  const data = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const tag = (at: number, text: string) => [...text].forEach((c, i) => data.setUint8(at + i, c.charCodeAt(0)));
  tag(0, 'RIFF');
  data.setUint32(4, 36 + samples.length * 2, true);
  tag(8, 'WAVEfmt ');
  data.setUint32(16, 16, true);
  data.setUint16(20, 1, true); // PCM
  data.setUint16(22, 1, true); // channels
  data.setUint32(24, hz, true);
  data.setUint32(28, hz * 2, true);
  data.setUint16(32, 2, true);
  data.setUint16(34, 16, true);
  tag(36, 'data');
  data.setUint32(40, samples.length * 2, true);
  samples.forEach((v, i) => data.setInt16(44 + i * 2, Math.max(-32768, Math.min(32767, Math.round(v * 32768))), true));
  return new Uint8Array(data.buffer);
}

/** Largest absolute value in each of `count` equal parts: a waveform to draw. */
export function peaks(samples: Float32Array, count: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const from = Math.floor((i * samples.length) / count);
    const to = Math.max(from + 1, Math.floor(((i + 1) * samples.length) / count));
    let peak = 0;
    for (let k = from; k < to && k < samples.length; k++) peak = Math.max(peak, Math.abs(samples[k] as number));
    return peak;
  });
}
