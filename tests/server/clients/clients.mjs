// The official clients, unmodified. node clients.mjs MODE ADDRESS PACKAGES EXAMPLES
// MODE "scripted": a server that says "Hello there" after the thought "hm", calls the first tool it is given, and
// answers a request for JSON with an object. MODE "mini": the model that reads departures boards.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [mode, address, packages, examples] = process.argv.slice(2);
const require = createRequire(`${packages}/index.js`);
const OpenAI = require("openai").default;
const Anthropic = require("@anthropic-ai/sdk").default;
const { Ollama } = require("ollama");

const openai = new OpenAI({ baseURL: `${address}/v1`, apiKey: "key", maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: address, apiKey: "key", maxRetries: 0 });
const ollama = new Ollama({ host: address, headers: { Authorization: "Bearer key" } });
const model = "tessera";
const ask = [{ role: "user", content: "Say hello." }];
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const image = readFileSync(`${examples}/departures.png`).toString("base64");

function silence(seconds) {
  const bytes = seconds * 32000;
  const head = Buffer.alloc(44);
  head.write("RIFF", 0), head.writeUInt32LE(36 + bytes, 4), head.write("WAVEfmt ", 8), head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20), head.writeUInt16LE(1, 22), head.writeUInt32LE(16000, 24), head.writeUInt32LE(32000, 28);
  head.writeUInt16LE(2, 32), head.writeUInt16LE(16, 34), head.write("data", 36), head.writeUInt32LE(bytes, 40);
  return Buffer.concat([head, Buffer.alloc(bytes, 1)]);
}

async function rejects(promise, status) {
  await assert.rejects(promise, (error) => (error.status ?? error.status_code) === status);
}

const scripted = {
  async "openai chat"() {
    const reply = await openai.chat.completions.create({ model, messages: ask });
    assert.equal(reply.choices[0].message.content, "Hello there");
    assert.equal(reply.choices[0].message.reasoning_content, "hm");
    assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
  },
  async "openai stream"() {
    const stream = await openai.chat.completions.create({
      model, messages: ask, stream: true, stream_options: { include_usage: true } });
    let text = "", usage = null, finish = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    assert.deepEqual([text, finish], ["Hello there", "stop"]);
    assert.ok(usage.total_tokens > 0);
  },
  async "openai stream helper with tools"() {
    const tools = [{ type: "function", function: { name: "weather", parameters: schema } }];
    const reply = await openai.chat.completions.stream({ model, messages: ask, tools }).finalChatCompletion();
    const call = reply.choices[0].message.tool_calls[0];
    assert.equal(reply.choices[0].finish_reason, "tool_calls");
    assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ["weather", { city: "Paris" }]);
    const next = await openai.chat.completions.create({ model, messages: [...ask, reply.choices[0].message,
      { role: "tool", tool_call_id: call.id, content: "rain" }] });
    assert.equal(next.choices[0].message.content, "Hello there");
  },
  async "openai image, audio and schema"() {
    const reply = await openai.chat.completions.create({ model, messages: [{ role: "user", content: [
      { type: "image_url", image_url: { url: `data:image/png;base64,${image}`, detail: "low" } },
      { type: "input_audio", input_audio: { data: silence(1).toString("base64"), format: "wav" } },
      { type: "text", text: "What?" }] }],
      response_format: { type: "json_schema", json_schema: { name: "c", strict: true, schema } } });
    assert.deepEqual(JSON.parse(reply.choices[0].message.content), { city: "Paris" });
  },
  async "openai responses"() {
    const reply = await openai.responses.create({ model, input: "Say hello." });
    assert.equal(reply.output_text, "Hello there");
    const types = [];
    for await (const event of await openai.responses.create({ model, input: "x", stream: true })) types.push(event.type);
    assert.equal(types[0], "response.created");
    assert.equal(types.at(-1), "response.completed");
    const whole = await openai.responses.stream({ model, input: "x" }).finalResponse();
    assert.equal(whole.output.at(-1).content[0].text, "Hello there");
  },
  async "openai completions, models, transcriptions, errors"() {
    const reply = await openai.completions.create({ model, prompt: "x" });
    assert.equal(reply.choices[0].text, "Hello there");
    const models = await openai.models.list();
    assert.equal(models.data[0].object, "model");
    const file = await OpenAI.toFile(silence(1), "a.wav");
    const text = await openai.audio.transcriptions.create({ model, file, response_format: "verbose_json" });
    assert.equal(text.text, "Hello there");
    await rejects(openai.chat.completions.create({ model, messages: [] }), 400);
    await rejects(new OpenAI({ baseURL: `${address}/v1`, apiKey: "wrong", maxRetries: 0 }).models.list(), 401);
  },
  async "openai abort"() {
    const stream = await openai.chat.completions.create({ model, messages: ask, stream: true });
    for await (const _ of stream) break;
    stream.controller.abort();
  },
  async "anthropic message, stream, tools, image, count"() {
    const messages = ask, max_tokens = 100;
    const reply = await anthropic.messages.create({ model, max_tokens, messages });
    assert.deepEqual(reply.content.map((block) => block.type), ["thinking", "text"]);
    assert.equal(reply.content[1].text, "Hello there");
    const final = await anthropic.messages.stream({ model, max_tokens, messages }).finalMessage();
    assert.equal(final.content[1].text, "Hello there");
    assert.equal(final.stop_reason, "end_turn");
    const tools = [{ name: "weather", input_schema: schema }];
    const call = await anthropic.messages.stream({ model, max_tokens, messages, tools }).finalMessage();
    assert.equal(call.stop_reason, "tool_use");
    assert.deepEqual(call.content.find((block) => block.type === "tool_use").input, { city: "Paris" });
    await anthropic.messages.create({ model, max_tokens, messages: [{ role: "user", content: [
      { type: "image", source: { type: "base64", media_type: "image/png", data: image } }, { type: "text", text: "?" }] }] });
    assert.ok((await anthropic.messages.countTokens({ model, messages })).input_tokens > 0);
    await rejects(anthropic.messages.create({ model, max_tokens, messages: [] }), 400);
  },
  async "ollama chat, stream, tools, image, schema, lists"() {
    const reply = await ollama.chat({ model, messages: ask });
    assert.equal(reply.message.content, "Hello there");
    assert.equal(reply.message.thinking, "hm");
    let text = "", done = false;
    for await (const part of await ollama.chat({ model, messages: ask, stream: true, think: true })) {
      text += part.message.content;
      done = part.done;
    }
    assert.deepEqual([text, done], ["Hello there", true]);
    const tools = [{ type: "function", function: { name: "weather", description: "", parameters: schema } }];
    const call = await ollama.chat({ model, messages: ask, tools });
    assert.deepEqual(call.message.tool_calls[0].function, { name: "weather", arguments: { city: "Paris" } });
    const json = await ollama.generate({ model, prompt: "?", images: [image], format: schema });
    assert.deepEqual(JSON.parse(json.response), { city: "Paris" });
    assert.equal((await ollama.list()).models.length, 1);
    assert.ok((await ollama.show({ model })).capabilities.includes("vision"));
    await rejects(ollama.chat({ model, messages: [{ role: "robot", content: "x" }] }), 400);
  },
};

const mini = {
  async "reads a departures board through each client"() {
    const question = "Read the board.", row = "10:25 | LH902 | Frankfurt | B12 | Boarding";
    const one = await openai.chat.completions.create({ model, max_tokens: 60, messages: [{ role: "user", content: [
      { type: "image_url", image_url: { url: `data:image/png;base64,${image}` } }, { type: "text", text: question }] }] });
    assert.ok(one.choices[0].message.content.startsWith(row), one.choices[0].message.content);
    const two = await anthropic.messages.stream({ model, max_tokens: 60, messages: [{ role: "user", content: [
      { type: "image", source: { type: "base64", media_type: "image/png", data: image } },
      { type: "text", text: question }] }] }).finalMessage();
    assert.ok(two.content[0].text.startsWith(row));
    assert.equal(two.stop_reason, "max_tokens");
    const three = await ollama.chat({ model, messages: [{ role: "user", content: question, images: [image] }],
      options: { num_predict: 60 } });
    assert.ok(three.message.content.startsWith(row));
    assert.ok(three.prompt_eval_count > 266);
  },
};

for (const [name, test] of Object.entries(mode === "mini" ? mini : scripted)) {
  try {
    await test();
  } catch (error) {
    console.error(`${name}: ${error.stack}`);
    process.exitCode = 1;
  }
}
