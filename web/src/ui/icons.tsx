/** 24 × 24, drawn with strokes. Decoration: what a button does is its label. */
const shapes = {
  plus: 'M12 5v14M5 12h14',
  search: 'M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM16 16l4 4',
  menu: 'M4 6h16M4 12h16M4 18h10',
  more: 'M6 12h.01M12 12h.01M18 12h.01',
  close: 'M6 6l12 12M18 6L6 18',
  send: 'M12 19V5M6 11l6-6 6 6',
  clip: 'M19 11l-7.5 7.5a4.2 4.2 0 0 1-6-6L13 5a2.8 2.8 0 0 1 4 4l-7.5 7.5a1.4 1.4 0 0 1-2-2L14 8',
  camera: 'M4 8h3l2-3h6l2 3h3v11H4zM12 10.5a3 3 0 1 1 0 6 3 3 0 0 1 0-6z',
  mic: 'M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM6 11a6 6 0 0 0 12 0M12 17v4',
  wave: 'M4 10v4M8 7v10M12 4v16M16 8v8M20 10v4',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  edit: 'M4 20l1-4L16 5l3 3L8 19z',
  again: 'M19 12a7 7 0 1 1-2.2-5.1M17 3v4h-4',
  go: 'M6 5l7 7-7 7M13 5l7 7-7 7',
  bin: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  left: 'M14 6l-6 6 6 6',
  right: 'M10 6l6 6-6 6',
  down: 'M12 5v14M6 13l6 6 6-6',
  sliders: 'M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4',
  pulse: 'M3 12h4l3-7 4 14 3-7h4',
  grid: 'M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z',
  tokens: 'M4 7h6v4H4zM13 7h7v4h-7zM4 14h9v4H4zM16 14h4v4h-4z',
  sun: 'M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5',
  moon: 'M20 14a8 8 0 1 1-9.5-10A6.5 6.5 0 0 0 20 14z',
  screen: 'M4 5h16v11H4zM9 20h6M12 16v4',
  file: 'M7 3h7l4 4v14H7zM14 3v4h4M10 12h5M10 16h5',
  film: 'M4 5h16v14H4zM8 5v14M16 5v14M4 12h16',
  bulb: 'M9 17h6M10 20h4M12 3a6 6 0 0 1 3.5 10.8L15 15H9l-.5-1.2A6 6 0 0 1 12 3z',
  tool: 'M14 7a4 4 0 0 1 5-3l-3 3 1 2 2 1 3-3a4 4 0 0 1-5.5 4.5L9 19a2 2 0 0 1-3-3l7.5-7.5z',
  stop: 'M7 7h10v10H7z',
  smile: 'M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM9 9.5h.01M15 9.5h.01M8 14a5 5 0 0 0 8 0',
  pen: 'M4 20c4-1 4-5 8-8l6-7 2 2-7 6c-3 4-7 4-9 7z',
  board: 'M3 5h18v12H3zM6 9h4M12 9h6M6 13h4M12 13h6M8 20h8',
  download: 'M12 4v11M7 11l5 5 5-5M5 20h14',
  upload: 'M12 16V5M7 9l5-5 5 5M5 20h14',
};
export type IconName = keyof typeof shapes;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
      <path d={shapes[name]} />
    </svg>
  );
}

/** Nine tiles, one of another colour: a mosaic, and a token. */
export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 24 24" aria-hidden="true">
      {[0, 1, 2].flatMap((y) =>
        [0, 1, 2].map((x) => <rect key={`${x}${y}`} x={1.5 + x * 7.4} y={1.5 + y * 7.4} width="6.2" height="6.2" rx="1.4" class={x === 1 && y === 1 ? 'tile-lit' : 'tile'} />),
      )}
    </svg>
  );
}

export function IconButton(props: {
  icon: IconName;
  label: string;
  onClick: () => unknown;
  class?: string;
  disabled?: boolean;
  pressed?: boolean;
  expanded?: boolean;
}) {
  return (
    <button
      type="button"
      class={`icon-button ${props.class ?? ''}`}
      aria-label={props.label}
      title={props.label}
      disabled={props.disabled ?? false}
      aria-pressed={props.pressed}
      aria-expanded={props.expanded}
      onClick={() => void props.onClick()}
    >
      <Icon name={props.icon} />
    </button>
  );
}
