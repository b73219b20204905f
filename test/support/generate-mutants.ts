import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** A mutant that no person thought of: one place of the source changed by a rule. */
export interface GeneratedMutant {
  readonly rule:
    | 'a condition of SQL always holds'
    | 'a call of a store is left out'
    | 'an early end is taken when it should not be'
  /** Under src/. */
  readonly file: string
  readonly line: number
  /** What stood there. */
  readonly text: string
  /** The line it begins in, which tells it from others like it. */
  readonly within: string
  /** The whole file, changed. */
  readonly source: string
}

const src = fileURLToPath(new URL('../../src', import.meta.url))
const folders = ['consume', 'publish']
/** What they refuse are mistakes of whoever calls, which no schedule makes. */
const checks = ['consume/settings.ts', 'publish/to-envelope.ts']
const stores = ['ownership', 'parked', 'inbox', 'call', 'log', 'outbox'].map((name) => `database/sqlite/${name}-store.ts`)

export function generateMutants(): GeneratedMutant[] {
  const files = folders.flatMap((folder) =>
    readdirSync(join(src, folder))
      .filter((name) => name.endsWith('.ts'))
      .sort()
      .map((name) => `${folder}/${name}`)
      .filter((file) => !checks.includes(file)),
  )
  return [
    ...stores.flatMap((file) => conditions(file, readFileSync(join(src, file), 'utf8'))),
    ...files.flatMap((file) => {
      const source = readFileSync(join(src, file), 'utf8')
      return [...storeCalls(file, source), ...earlyEnds(file, source)]
    }),
  ]
}

type Cut = { readonly from: number; readonly to: number; readonly by: string }

function cut(rule: GeneratedMutant['rule'], file: string, source: string, { from, to, by }: Cut): GeneratedMutant {
  const line = source.slice(0, from).split('\n').length
  return {
    rule,
    file,
    line,
    within: (source.split('\n')[line - 1] as string).trim(),
    text: source.slice(from, to).replaceAll(/\s+/g, ' '),
    source: source.slice(0, from) + by + source.slice(to),
  }
}

/** `where a = ? and b = ?` → `where (a = ? or true) and b = ?`: the parameters stay where they are. */
export function conditions(file: string, source: string): GeneratedMutant[] {
  const condition =
    /\b(?:where|and) ((?:\w+\.)?"?\w+"? (?:=|<>|<=|>=|<|>|is not|is|in|not in) (?:\?\d?|null|'[^']*'|\(select[^()]*(?:\([^()]*\)[^()]*)*\)|\([^()]*\)|(?:\w+\.)?\w+))/g
  return [...source.matchAll(condition)].map((match) => {
    const text = match[1] as string
    const from = match.index + match[0].length - text.length
    return cut('a condition of SQL always holds', file, source, { from, to: from + text.length, by: `(${text} or true)` })
  })
}

/** Whole statements of a transaction only: what gives a value is needed by what follows. */
export function storeCalls(file: string, source: string): GeneratedMutant[] {
  const statement = /(?<=\n\s*(?:if \([^\n]*\) |else )?)(?:await )session\.\w+\.\w+\(/g
  return [...source.matchAll(statement)].map((match) => {
    const to = afterParenthesis(source, match.index + match[0].length - 1)
    return cut('a call of a store is left out', file, source, { from: match.index, to, by: '{}' })
  })
}

/** `if (x) return` → `if (!(x)) return`; the same for throw, continue and break. */
export function earlyEnds(file: string, source: string): GeneratedMutant[] {
  return [...source.matchAll(/(?<=\n\s*(?:else )?)if \(/g)].flatMap((match) => {
    const opens = match.index + match[0].length - 1
    const closes = afterParenthesis(source, opens)
    if (!/^\s*(?:\{\s*)?(?:return|throw|continue|break)\b/.test(source.slice(closes))) return []
    const by = `if (!${source.slice(opens, closes)})`
    return [cut('an early end is taken when it should not be', file, source, { from: match.index, to: closes, by })]
  })
}

function afterParenthesis(source: string, opens: number): number {
  let depth = 0
  for (let at = opens; at < source.length; at++) {
    if (source[at] === '(') depth++
    else if (source[at] === ')' && --depth === 0) return at + 1
  }
  throw new Error(`the parenthesis at ${opens} is never closed`)
}
