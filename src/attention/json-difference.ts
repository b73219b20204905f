/** One place where two JSON values differ. `path` reads as code would: `items[3].price`; empty for the whole value. */
export type JsonChange =
  | { readonly path: string; readonly kind: 'added'; readonly after: unknown }
  | { readonly path: string; readonly kind: 'removed'; readonly before: unknown }
  | { readonly path: string; readonly kind: 'changed'; readonly before: unknown; readonly after: unknown }

/** What differs, smallest part by smallest part; array elements are compared by their place. Empty when the values are equal. */
export function jsonDifference(before: unknown, after: unknown): JsonChange[] {
  const changes: JsonChange[] = []
  compare(before, after, '', changes)
  return changes
}

function compare(before: unknown, after: unknown, path: string, changes: JsonChange[]): void {
  if (Object.is(before, after)) return
  if (Array.isArray(before) && Array.isArray(after)) {
    for (let index = 0; index < Math.max(before.length, after.length); index++) {
      const place = `${path}[${index}]`
      if (index >= after.length) changes.push({ path: place, kind: 'removed', before: before[index] })
      else if (index >= before.length) changes.push({ path: place, kind: 'added', after: after[index] })
      else compare(before[index], after[index], place, changes)
    }
    return
  }
  if (isObject(before) && isObject(after)) {
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const place = step(path, name)
      if (!Object.hasOwn(after, name)) changes.push({ path: place, kind: 'removed', before: before[name] })
      else if (!Object.hasOwn(before, name)) changes.push({ path: place, kind: 'added', after: after[name] })
      else compare(before[name], after[name], place, changes)
    }
    return
  }
  changes.push({ path, kind: 'changed', before, after })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function step(path: string, name: string): string {
  if (!/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name)) return `${path}[${JSON.stringify(name)}]`
  return path === '' ? name : `${path}.${name}`
}
