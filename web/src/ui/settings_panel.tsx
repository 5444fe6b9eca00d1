import { useEffect, useState } from 'preact/hooks';
import { changeConversation, current, draftSettings, draftSystem, settings } from '../model/state';
import { budgets, defaultSettings, type Budget, type Settings } from '../model/types';
import { apiKey, setApiKey } from '../net/api';
import { strings } from '../strings';
import { Dialog } from './dialog';
import { Icon, type IconName } from './icons';
import { setTheme, settingsOpen, theme, type Theme } from './view';

const t = strings.settings;
const draftName = 'tessera.settings';

/** New chats start with what was chosen last. */
export function loadDraftSettings(): void {
  try {
    draftSettings.value = { ...defaultSettings, ...(JSON.parse(localStorage.getItem(draftName) ?? '{}') as Partial<Settings>), seed: null };
  } catch {
    localStorage.removeItem(draftName);
  }
}

export async function applySettings(change: Partial<Settings>): Promise<void> {
  const next = { ...settings.value, ...change };
  draftSettings.value = { ...next, seed: null };
  localStorage.setItem(draftName, JSON.stringify(draftSettings.value));
  if (current.value) await changeConversation(current.value.id, { settings: next });
}

interface NumberField {
  key: 'temperature' | 'topK' | 'topP' | 'seed' | 'maxTokens';
  label: string;
  min: number;
  max: number;
  step: number;
  hint?: string;
}
const fields: NumberField[] = [
  { key: 'temperature', label: t.temperature, min: 0, max: 2, step: 0.05 },
  { key: 'topP', label: t.topP, min: 0, max: 1, step: 0.01 },
  { key: 'topK', label: t.topK, min: 0, max: 1000, step: 1 },
  { key: 'maxTokens', label: t.maxTokens, min: 1, max: 262144, step: 1 },
  { key: 'seed', label: t.seed, min: 0, max: 4294967295, step: 1, hint: t.seedHint },
];

function NumberInput({ field }: { field: NumberField }) {
  const value = settings.value[field.key];
  return (
    <label class="field">
      <span>{field.label}</span>
      <input
        type="number"
        inputMode="decimal"
        min={field.min}
        max={field.max}
        step={field.step}
        placeholder={t.auto}
        title={field.hint}
        value={value ?? ''}
        onChange={(event) => {
          const n = event.currentTarget.valueAsNumber;
          void applySettings({ [field.key]: Number.isFinite(n) ? Math.min(field.max, Math.max(field.min, n)) : null });
        }}
      />
    </label>
  );
}

function Switch(props: { label: string; hint?: string; on: boolean; onChange: (on: boolean) => void }) {
  return (
    <label class="switch">
      <input type="checkbox" role="switch" checked={props.on} onChange={(event) => props.onChange(event.currentTarget.checked)} />
      <span>
        {props.label}
        {props.hint && <small>{props.hint}</small>}
      </span>
    </label>
  );
}

const themes: [Theme, string, IconName][] = [
  ['system', t.system_, 'screen'],
  ['light', t.light, 'sun'],
  ['dark', t.dark, 'moon'],
];

export function SettingsPanel() {
  const system = current.value?.system ?? draftSystem.value;
  const [words, setWords] = useState(system);
  const [key, setKey] = useState(apiKey.value);
  useEffect(() => setWords(system), [system]);
  const saveSystem = () => {
    if (current.value) void changeConversation(current.value.id, { system: words });
    else draftSystem.value = words;
  };
  const close = () => {
    saveSystem();
    if (key !== apiKey.value) setApiKey(key.trim());
    settingsOpen.value = false;
  };
  const s = settings.value;
  return (
    <Dialog title={t.title} onClose={close} class="side">
      <p class="hint">{t.thisChat}</p>
      <label class="field tall">
        <span>{t.system}</span>
        <textarea rows={4} placeholder={t.systemHint} value={words} onInput={(event) => setWords(event.currentTarget.value)} onBlur={saveSystem} />
      </label>
      <Switch label={t.thinking} hint={strings.composer.thinkHint} on={s.thinking} onChange={(thinking) => void applySettings({ thinking })} />
      <Switch label={t.tools} on={s.tools} onChange={(tools) => void applySettings({ tools })} />
      <Switch label={t.recordTokens} hint={t.recordHint} on={s.recordTokens} onChange={(recordTokens) => void applySettings({ recordTokens })} />
      <label class="field tall">
        <span>{t.imageBudget}</span>
        <select value={s.imageBudget} onChange={(event) => void applySettings({ imageBudget: Number(event.currentTarget.value) as Budget })}>
          {budgets.map((b) => (
            <option key={b} value={b}>
              {t.budgetName(b)}
            </option>
          ))}
        </select>
      </label>
      {fields.map((field) => (
        <NumberInput key={field.key} field={field} />
      ))}
      <button type="button" class="button center" onClick={() => void applySettings({ temperature: null, topK: null, topP: null, seed: null, maxTokens: null })}>
        {t.reset}
      </button>
      <fieldset class="themes">
        <legend>{t.appearance}</legend>
        {themes.map(([value, label, icon]) => (
          <label key={value}>
            <input type="radio" name="theme" checked={theme.value === value} onChange={() => setTheme(value)} />
            <Icon name={icon} /> {label}
          </label>
        ))}
      </fieldset>
      <label class="field">
        <span>{t.key}</span>
        <input type="password" autocomplete="off" value={key} onInput={(event) => setKey(event.currentTarget.value)} />
      </label>
      <h3>{t.shortcuts}</h3>
      <dl class="shortcuts">
        {strings.shortcuts.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
