import type { AttentionItem } from '../src/index.ts'
import type { History, Violation } from '../src/testing/index.ts'
import { checkAll, explain } from '../src/testing/index.ts'
import type { Arena } from './arena.ts'
import { historyOf, totalsAreRight } from './history.ts'
import { Interrupted } from './interrupted.ts'
import { pause } from './slot.ts'

export interface Verdict {
  readonly arena: string
  readonly messages: number
  readonly acknowledged: number
  readonly charges: number
  readonly fenced: number
  readonly suppressed: number
  readonly history: History
  readonly violations: readonly Violation[]
  /** For a person: the violations with the operations that show them. */
  readonly explained: string
  /** What no checker looks at: a process that ended although nobody had done anything to it, a damaged file. */
  readonly otherwise: readonly string[]
}

/** How long all that was begun may take after the last fault, and how long nothing may happen before we give up hope. */
const calmMs = 300_000
const stillMs = { FULL: 30_000, NORMAL: 3_000 } as const

/** Waits until all is done that will be done, ends the processes, and judges what became of every message. @throws Interrupted */
export async function judge(arena: Arena, interrupted: () => boolean): Promise<Verdict> {
  await arena.calm()
  const stuck: string[] = []
  if (!(await rest(arena, interrupted)) && arena.provider !== undefined && !interrupted()) {
    // Lost, or only stuck: new processes tell.
    await arena.restart()
    const went = (await rest(arena, interrupted)) ? 'went on' : 'did not go on either'
    stuck.push(`${arena.name}: work was left that nobody did; after a restart of all processes it ${went}`)
  }
  if (interrupted()) throw new Interrupted()
  await arena.close()

  const { app, close } = arena.observe()
  const attention = await app.attention.list({ limit: 10_000 })
  const { groups } = await app.status()
  await app.stop()
  await close()
  const sum = (field: 'fenced' | 'suppressed'): number => groups.reduce((total, group) => total + group[field], 0)

  const ledger = await arena.provider?.settled()
  const damage = await arena.store.damage()
  const history = historyOf({
    ...arena,
    attention: attention as readonly AttentionItem[],
    ledger,
    rows: await arena.store.readRows(),
  })
  const semantics = arena.provider === undefined ? 'at-least-once' : 'effectively-once'
  const violations = checkAll(history, {
    semantics,
    promises: { calls: { charge: { rule: 'repeat', ledgerKnown: true } }, conservation: totalsAreRight },
  })
  return {
    arena: arena.name,
    messages: new Set(arena.publications.tries.map(({ order }) => order.id)).size,
    acknowledged: arena.publications.acknowledged,
    charges: ledger?.charges.length ?? 0,
    fenced: sum('fenced'),
    suppressed: sum('suppressed'),
    history,
    violations,
    explained: explain(violations, history),
    otherwise: [...arena.unexpected, ...stuck, ...damage.map((what) => `${arena.name}: ${what}`)],
  }
}

/** Until all is published and applied by every group (true), or nothing happens any more. */
async function rest({ publications, store, synchronous, provider }: Arena, interrupted: () => boolean): Promise<boolean> {
  const begun = performance.now()
  let stillSince = begun
  let before = ''
  while (!interrupted() && performance.now() - begun < calmMs) {
    const { applied, heard, paid } = await store.readRows()
    const counts = [applied, ...(provider === undefined ? [] : [heard, paid])].map(
      (rows) => new Set(rows.map(({ id }) => id)).size,
    )
    if (publications.complete && counts.every((count) => count >= publications.published)) return true
    const now = [publications.acknowledged, ...counts].join()
    if (now !== before) stillSince = performance.now()
    else if (performance.now() - stillSince > stillMs[synchronous]) return false
    before = now
    await pause(200)
  }
  return false
}
