import type { Database } from '../database/database.ts'
import { OnefoldError } from '../errors.ts'
import type { Runtime } from '../runtime.ts'
import type { Act, Refused } from './act.ts'
import { actOn, decide, refusalOf } from './act.ts'
import type { AttentionFilter, AttentionGroup } from './attention-store.ts'
import { situationOf } from './situation.ts'

/** Which open items. Without any of these: all. */
export type BulkFilter = Pick<AttentionFilter, 'topic' | 'group' | 'kind' | 'fingerprint' | 'key'>

/** Items that are refused for the same reason. */
export interface BulkRefusal {
  readonly why: Refused['why']
  readonly count: number
  /** What is said about one of them. */
  readonly id: string
  readonly sentence: string
}

export interface BulkPreview {
  /** Open items that match. */
  readonly count: number
  /** How many of them would be refused. */
  readonly refused: number
  readonly groups: readonly (Pick<
    AttentionGroup,
    'topic' | 'group' | 'fingerprint' | 'kind' | 'count' | 'errorName' | 'errorMessage'
  > & {
    readonly refusals: readonly BulkRefusal[]
  })[]
}

export interface BulkResult {
  readonly done: number
  /** Somebody else had acted on them meanwhile. */
  readonly already: number
  readonly refused: number
  readonly refusals: readonly BulkRefusal[]
}

/** Items of one transaction: others wait that long for the lock. */
const chunkItems = 25

type BulkRuntime = Pick<Runtime, 'isAlive' | 'wallMs'>

export async function previewBulk(
  database: Database<unknown>,
  runtime: BulkRuntime,
  filter: BulkFilter,
  act: Act,
): Promise<BulkPreview> {
  const ids = await openIds(database, filter)
  const groups = new Map<
    string,
    { group: Omit<BulkPreview['groups'][number], 'count' | 'refusals'>; count: number; refusals: Refusals }
  >()
  for (const id of ids) {
    const situation = await database.read((stores) => situationOf(stores, id, runtime))
    if (situation === undefined || situation.item.state !== 'open') continue
    const { topic, group, fingerprint, kind, errorName, errorMessage } = situation.item
    const name = JSON.stringify([topic, group, fingerprint, kind])
    const found = groups.get(name) ?? {
      group: { topic, group, fingerprint, kind, errorName, errorMessage },
      count: 0,
      refusals: new Refusals(),
    }
    groups.set(name, found)
    found.count++
    const refused = refusalOf(decide(situation, act), act)
    if (refused !== undefined) found.refusals.add(id, refused)
  }
  const listed = [...groups.values()].toSorted((a, b) => b.count - a.count)
  return {
    count: listed.reduce((sum, { count }) => sum + count, 0),
    refused: listed.reduce((sum, { refusals }) => sum + refusals.count, 0),
    groups: listed.map(({ group, count, refusals }) => ({ ...group, count, refusals: refusals.list })),
  }
}

export async function actOnAll(
  database: Database<unknown>,
  runtime: BulkRuntime,
  filter: BulkFilter,
  act: Act,
  expect: number | undefined,
): Promise<BulkResult> {
  // What is there now: an item that fails again comes back under another id, and is not redriven in a circle.
  const ids = await openIds(database, filter)
  if (expect !== undefined && ids.length > expect) {
    throw new OnefoldError(
      'NOT_POSSIBLE',
      `${ids.length} open items match now, more than the ${expect} expected; nothing was done. Look again, and expect ${ids.length}.`,
      { details: { count: ids.length, expect } },
    )
  }
  let done = 0
  let already = 0
  const refusals = new Refusals()
  for (let from = 0; from < ids.length; from += chunkItems) {
    const chunk = ids.slice(from, from + chunkItems)
    const results = await database.write(
      async (session) => {
        await session.attention.lock(chunk)
        const each: { readonly id: string; readonly result: Awaited<ReturnType<typeof actOn>> }[] = []
        for (const id of chunk) each.push({ id, result: await actOn(session, id, act, runtime) })
        return each
      },
      { what: `${act.action} ${chunk.length} items` },
    )
    for (const { id, result } of results) {
      if (result === 'done') done++
      else if (result === 'already' || result === 'not-found') already++
      else refusals.add(id, result)
    }
  }
  return { done, already, refused: refusals.count, refusals: refusals.list }
}

async function openIds(database: Database<unknown>, filter: BulkFilter): Promise<readonly string[]> {
  const { topic, group, kind, fingerprint, key } = filter
  return await database.read((stores) => stores.attention.ids({ topic, group, kind, fingerprint, key, state: 'open' }))
}

/** Counted by why; the first of each is kept to be shown. */
class Refusals {
  readonly #byWhy = new Map<Refused['why'], BulkRefusal>()

  add(id: string, { why, sentence }: Refused): void {
    const known = this.#byWhy.get(why)
    this.#byWhy.set(why, known === undefined ? { why, count: 1, id, sentence } : { ...known, count: known.count + 1 })
  }

  get count(): number {
    return this.list.reduce((sum, refusal) => sum + refusal.count, 0)
  }

  get list(): readonly BulkRefusal[] {
    return [...this.#byWhy.values()]
  }
}
