// node gemma4_vocabulary.mjs GEMMA3_TOKENIZER_JSON OUT: the Gemma 4 tokenizer.json from the Gemma 3 one. Vocabulary
// and merges are the same; 19 unused or renamed entries become control tokens, and only the 24 of Gemma 4 stay added.
import { readFileSync, writeFileSync } from "node:fs";

const control = {
  0: "<pad>", 1: "<eos>", 2: "<bos>", 3: "<unk>", 4: "<mask>",
  46: "<|tool>", 47: "<tool|>", 48: "<|tool_call>", 49: "<tool_call|>",
  50: "<|tool_response>", 51: "<tool_response|>", 52: '<|"|>', 98: "<|think|>",
  100: "<|channel>", 101: "<channel|>", 105: "<|turn>", 106: "<turn|>",
  255999: "<|image>", 256000: "<|audio>", 258880: "<|image|>", 258881: "<|audio|>",
  258882: "<image|>", 258883: "<audio|>", 258884: "<|video|>",
};

const [source, target] = process.argv.slice(2);
const tokenizer = JSON.parse(readFileSync(source, "utf8"));
const names = Object.entries(tokenizer.model.vocab);
if (names.length !== 262144 || tokenizer.model.merges.length !== 514906) {
  throw new Error(`${source}: ${names.length} tokens, ${tokenizer.model.merges.length} merges; expected 262144, 514906`);
}
const oldName = new Map(names.map(([name, id]) => [id, name]));
for (const [id, name] of Object.entries(control)) {
  const old = oldName.get(Number(id));
  if (old !== name && !/^<(unused\d+|(start|end)_of_(turn|image))>$/.test(old)) {
    throw new Error(`${source}: id ${id} is ${old}, expected an unused entry for ${name}`);
  }
}
// fromEntries would move keys that look like array indices ("0" … "9") to the front: ids, not order, are what counts.
tokenizer.model.vocab = Object.fromEntries(names.map(([name, id]) => [control[id] ?? name, id]));
tokenizer.added_tokens = Object.entries(control).map(([id, content]) => ({
  id: Number(id), content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true,
}));
tokenizer.post_processor = null;
writeFileSync(target, JSON.stringify(tokenizer, null, 2)); // laid out as the published file: 32 MB
