/**
 * Canonical JSON (RFC 8785) of data as it was handed over: one text per value, whatever order its properties were
 * written in. The text is what is stored and what a reused identity is compared by.
 *
 * This is the hot path of `publish`, so it is one walk that validates and writes at the same time. Reading each value
 * once also means that a getter cannot give one thing to the check and another to the text. Two things make it quick:
 * the sorted order of an object's keys is remembered per list of keys, and a string is only scanned for what needs
 * escaping. What goes wrong is named on the way out of the recursion, so a good value never pays for a path.
 */
import { hash } from 'node:crypto'
import { OnefoldError } from './errors.ts'

/** Containers inside containers, the outermost included. */
const maxDepth = 200

/** Stands for "no value here", which only `toJSON` can say: no JSON text is empty. */
const absent = ''

/**
 * The canonical JSON text of `value`.
 *
 * Two values with the same canonical text are the same message body. Objects with a `toJSON` method (`Date`, `URL`, a
 * decimal) are carried as what it gives, properties that are undefined as absent, `-0` as `0`; array elements are
 * carried, other properties of an array are not.
 *
 * What JSON cannot carry is refused rather than changed on the way: undefined, functions and symbols (undefined is fine
 * as a property), bigint, NaN and infinities, invalid dates, `Map`, `Set`, bytes (`Buffer`, typed arrays), instances of
 * classes without `toJSON`, symbol keys, strings with half a surrogate pair, cycles, and more than 200 levels.
 *
 * `what` is the name of the value in the error message.
 *
 * @throws OnefoldError `MESSAGE_INVALID` naming the path, such as `data.items[3].price`.
 * @example
 * toCanonicalJson({ b: 1, a: [1e3, 'é'] })  // '{"a":[1000,"é"],"b":1}'
 */
export function toCanonicalJson(value: unknown, what = 'data'): string {
  try {
    const text = serialize(value, 1, '')
    if (text === absent) throw new Refusal(primitiveReason(undefined))
    return text
  } catch (error) {
    throw invalid(what, error instanceof Refusal ? error : new Refusal(thrownReason(error), error))
  }
}

/** 16 bytes that tell two bodies of the same identity apart: the first half of the SHA-256 of the canonical text. */
export function bodyDigest(json: string): Uint8Array {
  // As text, a character per byte: a Buffer from outside the heap for every message costs more than the hashing.
  const text = hash('sha256', json, 'binary')
  const digest = new Uint8Array(16)
  for (let i = 0; i < 16; i++) digest[i] = text.charCodeAt(i)
  return digest
}

/** Thrown at the refused value and given its path, innermost first, by each level it passes on the way out. */
class Refusal {
  readonly reason: string
  readonly cause: unknown
  readonly path: (string | number)[] = []
  /** The object or array each part of `path` was read from. */
  readonly containers: object[] = []

  constructor(reason: string, cause?: unknown) {
    this.reason = reason
    this.cause = cause
  }
}

function serialize(value: unknown, depth: number, key: string | number): string {
  if (typeof value === 'string') return quote(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new Refusal(`is ${value}`)
    return `${value}`
  }
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (value === null) return 'null'
  if (typeof value !== 'object') throw new Refusal(primitiveReason(value))
  if (typeof (value as Jsonable).toJSON === 'function') return serializeJsonable(value as Jsonable, depth, key)
  return serializeContainer(value, depth)
}

interface Jsonable {
  toJSON(key: string): unknown
}

function serializeJsonable(value: Jsonable, depth: number, key: string | number): string {
  // Buffer has a toJSON, but it makes ten bytes of text out of one, and bytes back it never becomes.
  if (ArrayBuffer.isView(value)) throw new Refusal(instanceReason(value))
  if (value instanceof Date && Number.isNaN(value.getTime())) throw new Refusal('is an invalid date')
  const json = value.toJSON(String(key))
  if (json === undefined) return absent
  // What toJSON gave is not asked for its toJSON again: that is the rule of JSON.stringify.
  return typeof json === 'object' && json !== null ? serializeContainer(json, depth) : serialize(json, depth, key)
}

function serializeContainer(value: object, depth: number): string {
  if (depth > maxDepth) throw new Refusal(`is nested deeper than ${maxDepth} levels`)
  return Array.isArray(value) ? serializeArray(value, depth) : serializeObject(value as Record<string, unknown>, depth)
}

function serializeArray(array: readonly unknown[], depth: number): string {
  let index = 0
  try {
    let text = '['
    for (; index < array.length; index++) {
      const element = serialize(array[index], depth + 1, index)
      if (element === absent) throw new Refusal(primitiveReason(undefined))
      text += index === 0 ? element : `,${element}`
    }
    return `${text}]`
  } catch (error) {
    throw passing(error, array, index)
  }
}

function serializeObject(object: Record<string, unknown>, depth: number): string {
  const prototype = Object.getPrototypeOf(object)
  if (prototype !== Object.prototype && prototype !== null && !isObjectPrototypeOfAnotherRealm(prototype)) {
    throw new Refusal(instanceReason(object))
  }
  if (Object.getOwnPropertySymbols(object).length > 0) refuseSymbolKeys(object)
  const { keys, names } = keyOrderOf(Object.keys(object))
  let key = ''
  try {
    let text = '{'
    let separator = ''
    for (let i = 0; i < keys.length; i++) {
      key = keys[i] as string
      const value = object[key]
      if (value === undefined) continue
      const member = serialize(value, depth + 1, key)
      if (member === absent) continue
      text += separator + names[i] + member
      separator = ','
    }
    return `${text}}`
  } catch (error) {
    throw passing(error, object, key)
  }
}

// Strings

/** What JSON escapes, and surrogates: whole pairs need no escape, halves are refused. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what JSON escapes
const needsCare = /[\u0000-\u001f"\\\ud800-\udfff]/

function quote(text: string): string {
  if (!needsCare.test(text)) return `"${text}"`
  if (!text.isWellFormed()) throw new Refusal('has half of a surrogate pair in it, which is not text')
  return JSON.stringify(text)
}

// The order of keys

interface KeyOrder {
  /** Sorted by UTF-16 code units, as RFC 8785 says; also the default order of `sort`. */
  readonly keys: readonly string[]
  /** `keys` as JSON, colon included. */
  readonly names: readonly string[]
}

/** One list of keys so far: objects of the same shape list their keys alike, so the walk ends at what is known. */
interface KeyList {
  next: Map<string, KeyList> | undefined
  lastKey: string | undefined
  lastNext: KeyList | undefined
  order: KeyOrder | undefined
}

const rememberedKeys = 128
const rememberedKeyLength = 64
const rememberedLists = 10_000
let lists = 0
let root: KeyList = newKeyList()

function newKeyList(): KeyList {
  return { next: undefined, lastKey: undefined, lastNext: undefined, order: undefined }
}

/** Objects used as dictionaries have ever new keys: too large a memory is dropped, and refills in no time. */
function keyOrderOf(keys: readonly string[]): KeyOrder {
  if (keys.length > rememberedKeys) return sortKeys(keys)
  let list = root
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string
    if (list.lastKey !== key) {
      if (key.length > rememberedKeyLength) return sortKeys(keys)
      list.lastNext = nextKeyList(list, key)
      list.lastKey = key
    }
    list = list.lastNext as KeyList
  }
  list.order ??= sortKeys(keys)
  return list.order
}

function nextKeyList(list: KeyList, key: string): KeyList {
  list.next ??= new Map()
  let next = list.next.get(key)
  if (next === undefined) {
    next = newKeyList()
    list.next.set(key, next)
    if (++lists > rememberedLists) {
      lists = 0
      root = newKeyList()
    }
  }
  return next
}

function sortKeys(unsorted: readonly string[]): KeyOrder {
  const keys = unsorted.slice().sort()
  const names = keys.map((key) => {
    if (!key.isWellFormed()) throw new Refusal(`has a key with half of a surrogate pair in it (${JSON.stringify(key)})`)
    return `${JSON.stringify(key)}:`
  })
  return { keys, names }
}

// Refusals: none of this runs for a value that can be carried

/** Objects of a `vm` context (Jest runs tests in one) have an `Object.prototype` of their own. */
function isObjectPrototypeOfAnotherRealm(prototype: object): boolean {
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf')
}

/** Hidden symbol keys are a library's marks, not data; the others would be lost. */
function refuseSymbolKeys(object: object): void {
  for (const symbol of Object.getOwnPropertySymbols(object)) {
    if (Object.prototype.propertyIsEnumerable.call(object, symbol)) throw new Refusal(`has a symbol as a key (${String(symbol)})`)
  }
}

function primitiveReason(value: unknown): string {
  if (value === undefined) return 'is undefined'
  if (typeof value === 'bigint') return 'is a bigint; hand it over as a string'
  return `is a ${typeof value}`
}

function instanceReason(value: object): string {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) {
    return `is bytes (${classNameOf(value)}); hand them over as base64 text`
  }
  if (value instanceof Map) return 'is a Map; hand it over as an object or an array of entries'
  if (value instanceof Set) return 'is a Set; hand it over as an array'
  if (value instanceof Promise) return 'is a promise; await it first'
  return `is an instance of ${classNameOf(value)}, which has no toJSON; hand over a plain object`
}

function classNameOf(value: object): string {
  const maker: unknown = value.constructor
  return (typeof maker === 'function' && maker.name) || 'a class'
}

function passing(error: unknown, container: object, part: string | number): Refusal {
  const refusal = error instanceof Refusal ? error : new Refusal(thrownReason(error), error)
  refusal.path.push(part)
  refusal.containers.push(container)
  return refusal
}

/** A getter or toJSON of the user's threw, or the text grew longer than a string can be. */
function thrownReason(error: unknown): string {
  return `could not be read${error instanceof Error ? `: ${error.message.slice(0, 200)}` : ''}`
}

function invalid(what: string, refusal: Refusal): OnefoldError {
  const path = refusal.path.toReversed()
  const cycle = firstCycle(refusal.containers.toReversed())
  const field = what + (cycle === undefined ? path : path.slice(0, cycle.end)).map(pathPart).join('')
  const reason =
    cycle === undefined ? refusal.reason : `is ${what}${path.slice(0, cycle.start).map(pathPart).join('')} again, a cycle`
  return new OnefoldError('MESSAGE_INVALID', `${shorten(field)} ${reason}. JSON cannot carry it.`, {
    details: { field: shorten(field) },
    cause: refusal.cause,
  })
}

/** A cycle is met as endless nesting: the same container is twice on the way down. */
function firstCycle(containers: readonly object[]): { start: number; end: number } | undefined {
  const seen = new Map<object, number>()
  for (const [end, container] of containers.entries()) {
    const start = seen.get(container)
    if (start !== undefined) return { start, end }
    seen.set(container, end)
  }
  return undefined
}

function pathPart(part: string | number): string {
  if (typeof part === 'number') return `[${part}]`
  return /^[A-Za-z_$][\w$]*$/.test(part) ? `.${part}` : `[${JSON.stringify(part)}]`
}

function shorten(path: string): string {
  return path.length <= 300 ? path : `${path.slice(0, 140)} … ${path.slice(-140)}`
}
