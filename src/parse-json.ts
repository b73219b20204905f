/**
 * What `JSON.parse(text)` should answer, on every engine; with the errors of `JSON.parse`.
 *
 * V8 13.6 (Node 24) reads some keys of objects wrong, and so does 14.6 (Node 26) as far as is known. Where an object has had one key
 * after the keys so far, V8 looks first whether that is the next one, and compares with it as many characters of the text as the
 * key has, without undoing escapes. `"\n"` is a key of one character whose text begins with a backslash: after `{"a":1,"\\":2}` has
 * been read anywhere in the process, `{"a":1,"\n":2}` is read as that. It takes an escape in the key; keys written without one, and
 * strings that are no keys, are right. (nodejs/node#63785, Chromium 521080746: `JSDataObjectBuilder::TryFastTransitionToPropertyKey`.)
 *
 * So a text with an escape in a key is read again with its objects written as arrays of keys and values. Others, nearly all there
 * are, cost one look for backslashes more than `JSON.parse`.
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text)
  return hasEscapeInKey(text) ? objectsOf(JSON.parse(objectsAsMembers(text))) : value
}

/** Of a text that is JSON: so the first backslash is in a string, and so is the first one after the end of that string. */
function hasEscapeInKey(text: string): boolean {
  let quote = -1
  for (let backslash = text.indexOf('\\'); backslash >= 0; ) {
    const after = backslash + 2
    if (quote < after) quote = text.indexOf('"', after)
    backslash = text.indexOf('\\', after)
    const endsHere = backslash < 0 || backslash > quote
    if (endsHere && isColonNext(text, quote + 1)) return true
  }
  return false
}

function isColonNext(text: string, at: number): boolean {
  for (;;) {
    const character = text[at++]
    if (character !== ' ' && character !== '\n' && character !== '\r' && character !== '\t') return character === ':'
  }
}

/** What an object is written as: its keys and values in the order of the text, repeated keys too. */
interface Members {
  readonly members: readonly unknown[]
}

const written: Readonly<Record<string, string>> = { '{': '{"members":[', ':': ',', '}': ']}' }

/** The same JSON with `Members` in the place of objects. Not by a regular expression: those have no room for very long strings. */
function objectsAsMembers(text: string): string {
  const parts: string[] = []
  let copied = 0
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? ''
    if (character === '"') at = endOfString(text, at)
    const instead = written[character]
    if (instead === undefined) continue
    parts.push(text.slice(copied, at), instead)
    copied = at + 1
  }
  parts.push(text.slice(copied))
  return parts.join('')
}

/** Where the string that begins with the quote at `start` has its other quote. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}

/** Objects in the place of `Members`, from the outermost inwards; without recursion, for a text may nest as deep as it is long. */
function objectsOf(root: unknown): unknown {
  const top: Record<string, unknown> = { root }
  const unfinished = [top]
  for (let container = unfinished.pop(); container !== undefined; container = unfinished.pop()) {
    for (const key of Object.keys(container)) {
      const child = container[key]
      if (typeof child !== 'object' || child === null) continue
      const made = Array.isArray(child) ? child : objectWith((child as Members).members)
      container[key] = made
      unfinished.push(made as Record<string, unknown>)
    }
  }
  return top.root
}

/** The values are still as they were written. A key that comes again keeps its place and gets the later value. */
function objectWith(members: readonly unknown[]): Record<string, unknown> {
  const object: Record<string, unknown> = {}
  for (let i = 0; i < members.length; i += 2) {
    const key = String(members[i])
    // Assigned, `__proto__` would set the prototype; once it is a property, it is one like any other.
    if (key === '__proto__')
      Object.defineProperty(object, key, { value: undefined, writable: true, enumerable: true, configurable: true })
    object[key] = members[i + 1]
  }
  return object
}
