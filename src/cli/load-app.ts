import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { App } from '../app.ts'
import { OnefoldError } from '../errors.ts'

/**
 * The default export of an app module. Running the module is all that happens: constructors open nothing.
 *
 * @throws OnefoldError `NOT_FOUND`, or `OPTION_INVALID` for a module that throws or exports no app.
 */
export async function loadApp(module: string): Promise<App<unknown>> {
  const file = resolve(module)
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true)
    throw new OnefoldError('NOT_FOUND', `there is no module at ${module}; name the file whose default export is the app.`, {
      details: { file: module },
    })
  let loaded: Readonly<Record<string, unknown>>
  try {
    loaded = (await import(pathToFileURL(file).href)) as Readonly<Record<string, unknown>>
  } catch (error) {
    throw new OnefoldError(
      'OPTION_INVALID',
      `${module} threw while it was loaded: ${thrown(error)}. An app module declares and exports; what connects, starts or publishes belongs in another one that imports it.`,
      { details: { option: 'MODULE', file: module }, cause: error },
    )
  }
  const found = loaded.default
  if (isApp(found)) return found
  const [name] = Object.entries(loaded).find(([, value]) => isApp(value)) ?? []
  const what = 'default' in loaded ? `its default export is ${kindOf(found)}` : 'it has no default export'
  throw new OnefoldError(
    'OPTION_INVALID',
    `${module} exports no app: ${what}. Write \`export default ${name ?? 'app'}\` where app is what onefold({ … }) returned.`,
    { details: { option: 'MODULE', file: module } },
  )
}

/** By its shape: the module may have loaded another copy of Onefold. */
function isApp(value: unknown): value is App<unknown> {
  const app = value as Partial<App<unknown>> | null | undefined
  return typeof app === 'object' && app !== null && typeof app.explain === 'function' && typeof app.stop === 'function'
}

function kindOf(value: unknown): string {
  if (typeof value === 'function') return 'a function'
  return value === null ? 'null' : typeof value === 'object' ? 'another object' : `a ${typeof value}`
}

/** Where Onefold's own files are: what it refuses is thrown there, and written elsewhere. */
const own = new URL('..', import.meta.url).href

/** With the first place in a file of the user's: that is where to look. */
function thrown(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const places = error.stack?.split('\n').filter((line) => /^\s+at .*file:/.test(line)) ?? []
  const place = places.find((line) => !line.includes(own)) ?? places[0]
  return `${error.name}: ${error.message}${place === undefined ? '' : ` (${place.trim()})`}`
}
