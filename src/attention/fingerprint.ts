/**
 * What is kept of the error that made a message need a person, and what groups it with others that failed alike.
 * Whatever a handler throws comes here, so nothing here may throw: every property is read as if it were a trap.
 */
import { hash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import type { AttentionReason } from './attention-store.ts'

export type ErrorRecord = Omit<AttentionReason, 'kind'>

export interface FingerprintOptions {
  /** Directory whose files are Onefold's own and not the user's. Default: the one Onefold was loaded from. */
  readonly ownRoot?: string
}

const maxNameLength = 200
const maxMessageLength = 2 * 1024
const maxStackLength = 8 * 1024
const maxRelated = 8
/** Of a stack, and of a line of it: what is longer was not written by an engine. */
const maxParsedLength = 64 * 1024
const maxLineLength = 1024

/** Undefined in a bundle, where this directory is the user's and Onefold's files are no longer files. */
const loadedFrom = /^file:.*\/attention\/fingerprint\.[jt]s$/.test(import.meta.url ?? '')
  ? fileURLToPath(new URL('..', import.meta.url))
  : undefined

/**
 * The record of an error for the attention list.
 *
 * `fingerprint`: 12 hexadecimal digits, equal for errors of the same class (and `code`, where it has one) that came from
 * the same function of the user's code. That is the first frame that is not Node's, not of a package in node_modules and
 * not Onefold's, in the stack of the error or of what caused it; else the first of a package; else none. A frame is its
 * function and the name of its file: neither line numbers nor directories nor the message are part of it, so it outlives
 * a deploy, an edit above it and an id in the message.
 *
 * `errorName` has at most 200 characters, `errorMessage` 2,048 and `errorStack` 8,192; the stack has those of its causes below
 * it. All three are storable text: without halves of surrogate pairs and without NUL.
 *
 * Anything may be given, also what is no error. It never throws.
 */
export function fingerprintOf(error: unknown, options: FingerprintOptions = {}): ErrorRecord {
  const ownRoot = options.ownRoot ?? loadedFrom
  const chain = errorAndCauses(error)
  const frames = chain.map(framesOf)
  const frame =
    firstFrame(frames, (file) => !isNodes(file) && !isOf(ownRoot, file) && !isOfPackage(file)) ??
    firstFrame(frames, (file) => !isNodes(file) && !isOf(ownRoot, file))
  const errorName = nameOf(error)
  const parts = [errorName, codeOf(error), frame?.function ?? '', frame === undefined ? '' : baseName(frame.file)]
  return {
    fingerprint: hash('sha256', parts.join('\n'), 'hex').slice(0, 12),
    errorName,
    errorMessage: storable(messageOf(error), maxMessageLength),
    errorStack: storable(chain.map(stackText).join('\nCaused by: '), maxStackLength),
  }
}

// Reading what was thrown

/** A property's value, or undefined where there is none or reading it throws. */
function read(value: unknown, property: string): unknown {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return undefined
  try {
    return (value as Record<string, unknown>)[property]
  } catch {
    return undefined
  }
}

function readText(value: unknown, property: string): string | undefined {
  const text = read(value, property)
  return typeof text === 'string' ? text : undefined
}

/** The error, its cause, the cause of that; errors gathered in one (`AggregateError`) count as causes. */
function errorAndCauses(error: unknown): unknown[] {
  const chain: unknown[] = [error]
  for (let i = 0; i < chain.length && chain.length < maxRelated; i++) {
    const gathered = read(chain[i], 'errors')
    for (const next of [read(chain[i], 'cause'), ...(isArray(gathered) ? errorsOf(gathered) : [])]) {
      if (next !== undefined && chain.length < maxRelated && !chain.includes(next)) chain.push(next)
    }
  }
  return chain
}

function isArray(value: unknown): value is readonly unknown[] {
  try {
    return Array.isArray(value)
  } catch {
    return false
  }
}

/** Not all that is called `errors` is: schema libraries list their issues there. */
function errorsOf(gathered: readonly unknown[]): unknown[] {
  const first = Array.from({ length: maxRelated }, (_, i) => read(gathered, String(i)))
  return first.filter((error) => readText(error, 'stack') !== undefined)
}

/** The class. Many classes never set `name` and inherit 'Error'; then the constructor tells. */
function nameOf(error: unknown): string {
  if ((typeof error !== 'object' && typeof error !== 'function') || error === null) return error === null ? 'null' : typeof error
  const name = readText(error, 'name')
  const className = readText(read(error, 'constructor'), 'name')
  return storable((name === 'Error' || !name ? className : undefined) || name || typeof error, maxNameLength)
}

/** Many failures share one class and differ in a code: `ENOENT`, `23505`, Onefold's own. */
function codeOf(error: unknown): string {
  const code = readText(error, 'code')
  return code !== undefined && /^[A-Za-z0-9_.-]{1,64}$/.test(code) ? code : ''
}

function messageOf(error: unknown): string {
  return readText(error, 'message') ?? (typeof error === 'string' ? error : shown(error))
}

function stackText(error: unknown): string {
  return readText(error, 'stack') || `${nameOf(error)}: ${messageOf(error)}`
}

function shown(value: unknown): string {
  try {
    return inspect(value, {
      customInspect: false,
      depth: 2,
      maxStringLength: maxMessageLength,
      maxArrayLength: 20,
      breakLength: Infinity,
    })
  } catch {
    return typeof value
  }
}

/** Text that every database stores: PostgreSQL refuses NUL, UTF-8 has no halves of surrogate pairs. */
function storable(text: string, maxLength: number): string {
  const whole = text.length <= maxLength ? text : `${text.slice(0, maxLength - 2)} …`
  return whole.toWellFormed().replaceAll('\0', '\ufffd')
}

// Frames

interface Frame {
  readonly function: string
  readonly file: string
}

function framesOf(error: unknown): Frame[] {
  const stack = readText(error, 'stack')
  if (stack === undefined) return []
  // A message may itself have lines that look like frames.
  const message = readText(error, 'message')
  const header = message ? stack.indexOf(message) : -1
  const from = header < 0 ? 0 : header + (message as string).length
  const lines = stack.slice(from, from + maxParsedLength).split('\n')
  return lines.map(parseFrame).filter((frame) => frame !== undefined)
}

/**
 * ```
 *     at async Ledger.apply [as handler] (file:///srv/app/ledger.ts:10:5)
 *     at new Ledger (C:\app\ledger.ts:10:5)
 *     at file:///srv/app/ledger.ts:10:5
 *     at Array.map (<anonymous>)                       no file: not a frame of anybody's
 * ```
 */
function parseFrame(line: string): Frame | undefined {
  if (line.length > maxLineLength) return undefined
  const [, text] = /^\s+at (?:async )?(.*)$/.exec(line) ?? []
  if (text === undefined) return undefined
  const [, called, place] = /^(.*?) \((.*?):\d+(?::\d+)?\)$/.exec(text) ?? /^()(.*?):\d+(?::\d+)?$/.exec(text) ?? []
  if (called === undefined || place === undefined || place.startsWith('eval at ')) return undefined
  return { function: called.replace(/ \[as [^\]]*\]$/, ''), file: toPath(place) }
}

function toPath(place: string): string {
  const file = place.replace(/\?.*$/, '')
  if (!file.startsWith('file:')) return file
  try {
    return fileURLToPath(file)
  } catch {
    return file
  }
}

function firstFrame(stacks: readonly Frame[][], accepts: (file: string) => boolean): Frame | undefined {
  for (const frames of stacks) {
    const frame = frames.find(({ file }) => accepts(file))
    if (frame !== undefined) return frame
  }
  return undefined
}

function isNodes(file: string): boolean {
  return file.startsWith('node:') || file === 'native' || file === '<anonymous>'
}

function isOfPackage(file: string): boolean {
  return /(^|[\\/])node_modules[\\/]/.test(file)
}

function isOf(root: string | undefined, file: string): boolean {
  if (root === undefined) return false
  const directory = /[\\/]$/.test(root) ? root.slice(0, -1) : root
  return file.startsWith(`${directory}/`) || file.startsWith(`${directory}\\`)
}

function baseName(file: string): string {
  return file.slice(Math.max(file.lastIndexOf('/'), file.lastIndexOf('\\')) + 1)
}
