// Hands every block of samples (128 of each channel, mixed to one) to the page.
class Recorder extends AudioWorkletProcessor {
  process(inputs) {
    const channels = inputs[0];
    if (channels.length) {
      const mixed = new Float32Array(channels[0].length);
      for (const channel of channels) for (let i = 0; i < mixed.length; i++) mixed[i] += channel[i] / channels.length;
      this.port.postMessage(mixed, [mixed.buffer]);
    }
    return true;
  }
}
registerProcessor('recorder', Recorder);
