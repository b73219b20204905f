/** How numbers, sizes, ages and foreign text are shown to people. */

export function count(value: number): string {
  return value.toLocaleString('en-US')
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`
}

export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let rest = value
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024
    unit += 1
  }
  return `${unit === 0 || rest >= 100 ? Math.round(rest) : rest.toFixed(1)} ${units[unit]}`
}

/** The two largest units that matter: '4 ms', '12 s', '3 min 20 s', '2 d 4 h'. */
export function duration(ms: number): string {
  if (ms < 0) return `-${duration(-ms)}`
  if (ms < 1000) return `${Math.round(ms)} ms`
  const units: readonly (readonly [string, number])[] = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ]
  const seconds = Math.floor(ms / 1000)
  const first = units.findIndex(([, size]) => seconds >= size)
  const [name, size] = units[first] ?? ['s', 1]
  const next = units[first + 1]
  const rest = next === undefined ? 0 : Math.floor((seconds % size) / next[1])
  return `${Math.floor(seconds / size)} ${name}${next !== undefined && rest > 0 ? ` ${rest} ${next[0]}` : ''}`
}

/** Ids and error texts come from outside: what could move a terminal's cursor or fake a line is shown escaped. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Surrogate}]/gu,
    (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  )
}

/** As `printable`, for text of several lines. */
export function printableLines(text: string): string {
  return text.split(/\r?\n/).map(printable).join('\n')
}

export function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`
}

export function wrap(text: string, indent = 0, width = 92): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + word.length + 1 > width - indent) {
      lines.push(line)
      line = ''
    }
    line = line === '' ? word : `${line} ${word}`
  }
  lines.push(line)
  return lines.map((each) => `${' '.repeat(indent)}${each}`).join('\n')
}

/** Columns as wide as their content. A column is set to the right when its heading begins with '>'. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[], indent = ''): string {
  const right = headings.map((heading) => heading.startsWith('>'))
  const all = [headings.map((heading) => heading.replace(/^>/, '')), ...rows]
  const widths = headings.map((_, column) => Math.max(...all.map((row) => [...(row[column] ?? '')].length)))
  return all
    .map((row) => {
      const cells = widths.map((width, column) => {
        const cell = row[column] ?? ''
        const space = ' '.repeat(width - [...cell].length)
        return right[column] ? space + cell : cell + space
      })
      return `${indent}${cells.join('  ')}`.trimEnd()
    })
    .map((line) => `${line}\n`)
    .join('')
}
