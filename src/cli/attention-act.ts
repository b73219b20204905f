import { readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { text } from 'node:stream/consumers'
import type { App } from '../app.ts'
import type { Settlement } from '../attention/attention.ts'
import { isOnefoldError, OnefoldError } from '../errors.ts'
import { parseJson } from '../parse-json.ts'

/** Who acts, and what has to be said for it. */
export interface Said {
  readonly by: string | undefined
  readonly reason: string | undefined
  readonly callsStand: boolean
}

export interface Acted {
  readonly id: string
  readonly result: 'done' | 'already' | 'refused' | 'not found'
  /** Why it was refused. */
  readonly message?: string
}

/** Each id by itself: one that is refused does not keep the others. */
export async function actOnIds(
  app: App<unknown>,
  action: 'redrive' | 'discard',
  ids: readonly string[],
  said: Said,
): Promise<Acted[]> {
  const results: Acted[] = []
  for (const id of ids) {
    try {
      const changed = await (action === 'redrive'
        ? app.attention.redrive(id, redriver(said))
        : app.attention.discard(id, { by: said.by ?? '', reason: said.reason ?? '', callsStand: said.callsStand }))
      results.push({ id, result: changed ? 'done' : 'already' })
    } catch (error) {
      if (isOnefoldError(error, 'NOT_FOUND')) results.push({ id, result: 'not found' })
      else if (isOnefoldError(error, 'NOT_POSSIBLE')) results.push({ id, result: 'refused', message: error.message })
      else throw error
    }
  }
  return results
}

export function redriver({ by = userName(), reason }: Said): { readonly by?: string; readonly reason?: string } {
  return { ...(by === undefined ? {} : { by }), ...(reason === undefined ? {} : { reason }) }
}

/** `--result`: JSON, or @FILE with JSON in it. */
export async function readSettlement(
  as: Settlement['as'],
  given: { readonly call: string | undefined; readonly result: string | undefined },
): Promise<Settlement> {
  const { result } = given
  const call = given.call === undefined ? {} : { call: given.call }
  if (as !== 'happened' || result === undefined) return { ...call, as }
  if (result.startsWith('@')) return { ...call, as, result: await readJson(result.slice(1)) }
  return { ...call, as, result: jsonOf(result, '--result') }
}

/** One JSON value from a file, or from stdin for `-`. @throws OnefoldError `NOT_FOUND`, `NOT_POSSIBLE`, `MESSAGE_INVALID`. */
export async function readJson(file: string): Promise<unknown> {
  if (file === '-') return jsonOf(await text(process.stdin), 'stdin')
  try {
    return jsonOf(await readFile(file, 'utf8'), file)
  } catch (error) {
    if (isOnefoldError(error)) throw error
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    const why = missing ? 'there is no such file' : (error as Error).message
    throw new OnefoldError(missing ? 'NOT_FOUND' : 'NOT_POSSIBLE', `cannot read ${file}: ${why}.`, {
      details: { file },
      cause: error,
    })
  }
}

function jsonOf(json: string, where: string): unknown {
  try {
    return parseJson(json)
  } catch (error) {
    throw new OnefoldError('MESSAGE_INVALID', `${where} is not JSON: ${(error as Error).message}.`, { cause: error })
  }
}

function userName(): string | undefined {
  try {
    return userInfo().username
  } catch {
    // A user id without an entry in the system's list, as in many containers.
    return undefined
  }
}
