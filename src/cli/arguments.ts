import { parseArgs } from 'node:util'
import { UsageError } from './usage-error.ts'

interface Described {
  readonly help: string
  /** What applies without the option, as the help shows it. */
  readonly otherwise?: string
}

export interface FlagOption extends Described {
  readonly kind: 'flag'
}
export interface TextOption extends Described {
  readonly kind: 'text'
  /** The word that stands for the value in the help: FILE, PATH, NAME. */
  readonly value: string
  /** '' is a value like any other. Default false. */
  readonly mayBeEmpty?: boolean
}
export interface IntegerOption extends Described {
  readonly kind: 'integer'
  readonly min: number
  readonly max: number
}
export interface ChoiceOption extends Described {
  readonly kind: 'choice'
  readonly choices: readonly string[]
}

export type OptionSpec = FlagOption | TextOption | IntegerOption | ChoiceOption
export type OptionSpecs = Readonly<Record<string, OptionSpec>>

type ValueOf<Spec extends OptionSpec> = Spec extends FlagOption
  ? boolean
  : Spec extends IntegerOption
    ? number | undefined
    : Spec extends { readonly choices: readonly (infer Choice)[] }
      ? Choice | undefined
      : string | undefined

export type Values<Specs extends OptionSpecs> = { readonly [Name in keyof Specs]: ValueOf<Specs[Name]> }

/**
 * Reads options and positionals; every mistake is an error that names what was wrong and what may stand there.
 *
 * @throws UsageError
 */
export function readArguments<Specs extends OptionSpecs>(
  argv: readonly string[],
  specs: Specs,
): { readonly values: Values<Specs>; readonly positionals: readonly string[] } {
  const options = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      name,
      { type: spec.kind === 'flag' ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  // Not strict: the words of strict mode's errors are its own, and it lets a repeated option pass.
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true })
  const values: Record<string, unknown> = {}
  for (const [name, spec] of Object.entries(specs)) values[name] = spec.kind === 'flag' ? false : undefined
  const positionals: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value)
    if (token.kind !== 'option') continue
    const spec = Object.hasOwn(specs, token.name) ? specs[token.name] : undefined
    if (spec === undefined) throw new UsageError(`unknown option ${token.rawName}; ${listOptions(specs)}`)
    if (values[token.name] !== undefined && values[token.name] !== false) throw new UsageError(`${token.rawName} is given twice`)
    values[token.name] = readValue(token.rawName, spec, token.value, token.inlineValue === true)
  }
  return { values: values as Values<Specs>, positionals }
}

function readValue(option: string, spec: OptionSpec, value: string | undefined, inline: boolean): string | number | true {
  if (spec.kind === 'flag') {
    if (value !== undefined) throw new UsageError(`${option} takes no value, but got ${JSON.stringify(value)}`)
    return true
  }
  if (value === undefined) throw new UsageError(`${option} needs a value: ${option} ${placeholder(spec)}`)
  // `--group --json` is far more often a forgotten value than a group called --json.
  if (!inline && value.length > 1 && value.startsWith('-') && !/^-\d/.test(value)) {
    throw new UsageError(`${option} needs a value, but ${value} follows; write ${option}=${value} if that is the value`)
  }
  if (spec.kind === 'integer') {
    const number = Number(value)
    if (!/^-?\d+$/.test(value) || number < spec.min || number > spec.max) {
      throw new UsageError(`${option} is ${JSON.stringify(value)}; it must be a whole number from ${spec.min} to ${spec.max}`)
    }
    return number
  }
  if (spec.kind === 'choice' && !spec.choices.includes(value)) {
    throw new UsageError(`${option} is ${JSON.stringify(value)}; it must be one of: ${spec.choices.join(', ')}`)
  }
  if (value === '' && !(spec.kind === 'text' && spec.mayBeEmpty === true)) throw new UsageError(`${option} is empty`)
  return value
}

export function placeholder(spec: OptionSpec): string {
  if (spec.kind === 'flag') return ''
  if (spec.kind === 'integer') return 'N'
  return spec.kind === 'choice' ? spec.choices.join('|') : spec.value
}

function listOptions(specs: OptionSpecs): string {
  return `there are: ${Object.keys(specs)
    .map((name) => `--${name}`)
    .join(' ')}`
}
