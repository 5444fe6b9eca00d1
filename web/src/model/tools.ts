/** Tools that run in the page: enough to see the model call something, and nothing that leaves the machine. */

interface Tool {
  declaration: object;
  run(args: Record<string, unknown>): unknown;
}

const declare = (name: string, description: string, properties: object, required: string[]) => ({
  type: 'function',
  function: { name, description, parameters: { type: 'object', properties, required } },
});

const tools: Record<string, Tool> = {
  current_time: {
    declaration: declare('current_time', 'The date, time and time zone where the user is.', {}, []),
    run: () => ({ time: new Date().toString(), zone: Intl.DateTimeFormat().resolvedOptions().timeZone }),
  },
  calculate: {
    declaration: declare(
      'calculate',
      'Works out an arithmetic expression: + - * / % ^, parentheses, sqrt, sin, cos, tan, log, exp, abs, round, pi, e.',
      { expression: { type: 'string', description: 'For example (3 + 4) * sqrt(2)' } },
      ['expression'],
    ),
    run: (args) => calculate(String(args['expression'] ?? '')),
  },
};

export const toolDeclarations = Object.values(tools).map((t) => t.declaration);

/** Never throws: what went wrong is the tool's answer, for the model to read. */
export function runTool(name: string, argumentsJson: string): string {
  const tool = Object.hasOwn(tools, name) ? tools[name] : undefined;
  if (!tool) return JSON.stringify({ error: `There is no tool named ${name}.` });
  try {
    const args: unknown = JSON.parse(argumentsJson || '{}');
    return JSON.stringify(tool.run(typeof args === 'object' && args ? (args as Record<string, unknown>) : {}));
  } catch (error) {
    return JSON.stringify({ error: (error as Error).message });
  }
}

const functions: Record<string, (x: number) => number> = {
  sqrt: Math.sqrt, sin: Math.sin, cos: Math.cos, tan: Math.tan, log: Math.log, exp: Math.exp, abs: Math.abs, round: Math.round,
};
const constants: Record<string, number> = { pi: Math.PI, e: Math.E };

/** Recursive descent: sum ← product ← power ← unary ← atom. */
export function calculate(expression: string): number {
  const parts = expression.replace(/[×·]/g, '*').replace(/÷/g, '/').replace(/\*\*/g, '^').match(/\d+\.?\d*(?:e[+-]?\d+)?|\.\d+|[a-z]+|\S/gi) ?? [];
  let at = 0;
  let depth = 0;
  const fail = () => new Error(parts[at] === undefined ? 'The expression ends too early.' : `"${parts[at]}" is not expected there.`);
  const atom = (): number => {
    const part = parts[at];
    if (part === undefined || ++depth > 200) throw fail();
    at++;
    let value: number;
    if (/^[\d.]/.test(part)) value = Number(part);
    else if (part === '(') {
      value = sum();
      if (parts[at++] !== ')') throw (at--, fail());
    } else if (Object.hasOwn(functions, part) && parts[at] === '(') value = (functions[part] as (x: number) => number)(atom());
    else if (Object.hasOwn(constants, part)) value = constants[part] as number;
    else throw (at--, fail());
    depth--;
    return value;
  };
  const unary = (): number => {
    if (parts[at] === '-') return at++, -unary();
    if (parts[at] === '+') at++;
    return power();
  };
  const power = (): number => {
    const base = atom();
    return parts[at] === '^' ? (at++, base ** unary()) : base;
  };
  const product = (): number => {
    let value = unary();
    for (;;) {
      const sign = parts[at];
      if (sign === '*') at++, (value *= unary());
      else if (sign === '/') at++, (value /= unary());
      else if (sign === '%') at++, (value %= unary());
      else return value;
    }
  };
  const sum = (): number => {
    let value = product();
    for (;;) {
      if (parts[at] === '+') at++, (value += product());
      else if (parts[at] === '-') at++, (value -= product());
      else return value;
    }
  };
  const value = sum();
  if (at < parts.length) throw fail();
  return value;
}
