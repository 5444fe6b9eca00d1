import { describe, expect, it } from 'vitest';
import { search } from '../../src/model/search';
import { cleanTitle } from '../../src/model/title';
import { calculate, runTool } from '../../src/model/tools';
import { parseExport } from '../../src/model/transfer';
import { branchPlaces, pathTo, shownPath, siblings, stepBranch, subtree } from '../../src/model/tree';
import { defaultSettings, type Conversation, type Message } from '../../src/model/types';

const message = (id: string, parent: string | null, created: number, text = id): Message => ({ id, parent, created, text, conversation: 'c', role: 'user', attachments: [], state: 'done' });
// a ─┬─ b ── d
//    └─ c
const messages = new Map([message('a', null, 1), message('b', 'a', 2), message('c', 'a', 3), message('d', 'b', 4)].map((m) => [m.id, m]));
const ids = (list: Message[]) => list.map((m) => m.id).join('');

describe('branches', () => {
  it('show the chosen, else the newest', () => {
    expect(ids(shownPath(messages, {}))).toBe('ac');
    expect(ids(shownPath(messages, { a: 'b' }))).toBe('abd');
    expect(ids(shownPath(messages, { a: 'gone' }))).toBe('ac');
    expect(shownPath(new Map(), {})).toEqual([]);
  });
  it('have neighbours', () => {
    expect(ids(siblings(messages, 'a'))).toBe('bc');
    expect([...branchPlaces(messages)]).toEqual([['b', { at: 0, of: 2 }], ['c', { at: 1, of: 2 }]]);
    expect(stepBranch(messages, {}, 'c', -1)).toEqual({ a: 'b' });
    const same = { a: 'b' };
    expect(stepBranch(messages, same, 'b', -1)).toBe(same);
  });
  it('have a way up and all below', () => {
    expect(ids(pathTo(messages, 'd'))).toBe('abd');
    expect(subtree(messages, 'a').sort()).toEqual(['a', 'b', 'c', 'd']);
    expect(pathTo(messages, null)).toEqual([]);
  });
  it('survive a circle', () => {
    const circle = new Map([message('x', 'y', 1), message('y', 'x', 2), message('r', null, 3)].map((m) => [m.id, m]));
    expect(ids(shownPath(circle, {}))).toBe('r');
    expect(pathTo(circle, 'x').length).toBeLessThan(5);
  });
});

describe('search', () => {
  const conversation = (id: string, title: string): Conversation => ({ id, title, titleFrom: 'text', created: 0, updated: 0, system: '', settings: defaultSettings, chosen: {} });
  const all = [conversation('c', 'Café plans'), conversation('e', 'Empty')];
  it('wants every word, ignores case and accents', () => {
    expect(search('CAFE', all, []).map((f) => f.conversation.id)).toEqual(['c']);
    expect(search('cafe zebra', all, [message('m', null, 0, 'A Zebra\nin the night')])[0]?.excerpt).toContain('Zebra in');
    expect(search('', all, [])).toHaveLength(2);
    expect(search('nothing', all, [])).toEqual([]);
  });
});

describe('titles', () => {
  it('lose quotes and stops', () => {
    expect(cleanTitle('\n"The Blue Sky."\nmore')).toBe('The Blue Sky');
    expect(cleanTitle('Title: **Sky**')).toBe('Sky');
    expect(cleanTitle('x'.repeat(90))).toBe('');
  });
});

describe('tools', () => {
  it('calculate', () => {
    for (const [text, value] of [['1+2*3', 7], ['-2^2', -4], ['2^-1', 0.5], ['2^3^2', 512], ['(1+1)*sqrt(16)/2', 4], ['10 % 4', 2], ['1e3+.5', 1000.5], ['2 × π'.replace('π', 'pi'), 2 * Math.PI]] as const) expect(calculate(text), text).toBeCloseTo(value, 12);
    for (const bad of ['', '1+', '(1', '1)', 'constructor(1)', 'alert(1)', '1 2', '('.repeat(5000)]) expect(() => calculate(bad), bad.slice(0, 20)).toThrow();
  });
  it('answer with words when they fail', () => {
    expect(runTool('nope', '{}')).toContain('no tool');
    expect(runTool('toString', '{}')).toContain('no tool');
    expect(runTool('calculate', '{')).toContain('error');
    expect(runTool('calculate', '{"expression":"6*7"}')).toBe('42');
  });
});

describe('imports', () => {
  it('say what is wrong', () => {
    expect(() => parseExport('{')).toThrow('not JSON');
    expect(() => parseExport('[]')).toThrow('no chats of Tessera');
    expect(() => parseExport('{"tessera":1,"conversations":[{}]}')).toThrow('Chat 1');
    const whole = { tessera: 1, conversations: [{ conversation: { title: 't' }, messages: [message('a', null, 1), { id: 'b' }], media: {} }] };
    expect(() => parseExport(JSON.stringify(whole))).toThrow('Message 2');
    whole.conversations[0]?.messages.pop();
    expect(parseExport(JSON.stringify(whole)).conversations).toHaveLength(1);
  });
});
