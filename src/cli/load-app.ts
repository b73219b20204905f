import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { App } from '../app.ts'
import { OnefoldError } from '../errors.ts'

export interface AppModule {
  readonly app: App<unknown>
  /** The default export as it is: the app, or the function that made it and can make more. */
  readonly provable: App<unknown> | (() => App<unknown>)
  readonly exports: Readonly<Record<string, unknown>>
}

/** The app of an app module. @throws as `loadModule` does. */
export async function loadApp(module: string): Promise<App<unknown>> {
  return (await loadModule(module)).app
}

/**
 * A module whose default export is an app, or a function that makes one. Running the module, and that function once, is all that
 * happens: constructors open nothing.
 *
 * @throws OnefoldError `NOT_FOUND`, or `OPTION_INVALID` for a module that throws or exports no app.
 */
export async function loadModule(module: string): Promise<AppModule> {
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
  if (isApp(found)) return { app: found, provable: found, exports: loaded }
  if (typeof found === 'function') {
    const make = found as () => App<unknown>
    return { app: madeBy(make, module), provable: make, exports: loaded }
  }
  const [name] = Object.entries(loaded).find(([, value]) => isApp(value)) ?? []
  const what = 'default' in loaded ? `its default export is ${kindOf(found)}` : 'it has no default export'
  throw new OnefoldError(
    'OPTION_INVALID',
    `${module} exports no app: ${what}. Write \`export default ${name ?? 'app'}\` where app is what onefold({ … }) returned.`,
    { details: { option: 'MODULE', file: module } },
  )
}

function madeBy(make: () => unknown, module: string): App<unknown> {
  let made: unknown
  try {
    made = make()
  } catch (error) {
    throw new OnefoldError(
      'OPTION_INVALID',
      `the function that ${module} exports threw, but is to make an app: ${thrown(error)}.`,
      {
        details: { option: 'MODULE', file: module },
        cause: error,
      },
    )
  }
  if (isApp(made)) return made
  throw new OnefoldError(
    'OPTION_INVALID',
    `${module} exports no app: its default export is a function that returns ${kindOf(made)}. Return what onefold({ … }) returned, at once.`,
    { details: { option: 'MODULE', file: module } },
  )
}

/** By its shape: the module may have loaded another copy of Onefold. */
function isApp(value: unknown): value is App<unknown> {
  const app = value as Partial<App<unknown>> | null | undefined
  return typeof app === 'object' && app !== null && typeof app.explain === 'function' && typeof app.stop === 'function'
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (value instanceof Promise) return 'a promise'
  return typeof value === 'object' ? 'another object' : `a ${typeof value}`
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
