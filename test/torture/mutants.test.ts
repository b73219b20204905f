import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Change } from '../support/source-copy.ts'
import { copySource } from '../support/source-copy.ts'
import type { Audit } from '../support/torture-audit.ts'
import type { KillPlan } from '../support/torture-kills.ts'
import { brokenPromises, killAtPoints } from '../support/torture-kills.ts'
import { removeFolder, temporaryFolder } from '../support/torture-process.ts'
import { twoZombies } from '../support/torture-zombies.ts'

/**
 * A run that finds nothing shows something only if it would have found it. Each mutant is a copy of the source with one
 * safeguard taken out, and the run that must notice.
 */
interface Mutant extends Change {
  readonly without: string
  readonly run: (program: string) => Promise<readonly Partial<Audit>[]>
  /** What the judge must find. */
  readonly breaks: keyof Audit
}

const kill = (plan: Pick<KillPlan, 'topology' | 'role' | 'point'>) => async (program: string) => {
  const plans = [{ passes: 5, kills: 10, ...plan }]
  return brokenPromises(await killAtPoints(plans, { seed: 3, program, boundMs: 8_000, untilBroken: true })).map(
    ({ found }) => found,
  )
}
const repeats = kill({ topology: 'test-broker', role: 'consume', point: 'consume:settled' })
const restarts = kill({ topology: 'in-database', role: 'consume', point: 'consume:committed' })
const republishes = kill({ topology: 'in-database', role: 'publish', point: 'publish:committed' })
const relays = kill({ topology: 'test-broker', role: 'consume', point: 'publish:begun' })
const zombies = async (program: string): Promise<readonly Partial<Audit>[]> => {
  const { audit } = await twoZombies(program)
  const found = Object.entries(audit).filter(([, ids]) => ids.length > 0)
  return found.length === 0 ? [] : [Object.fromEntries(found)]
}

const claim = 'claim(subscription: Subscription, envelopes: readonly Envelope[]): ClaimStatus[] {'

const mutants: readonly Mutant[] = [
  {
    without: 'the inbox answer: what was seen is called new',
    file: 'database/sqlite/inbox-store.ts',
    from: claim,
    to: `claim(subscription: Subscription, envelopes: readonly Envelope[]): ClaimStatus[] {
    return this.recorded(subscription, envelopes).map(() => 'new')
  }

  recorded(subscription: Subscription, envelopes: readonly Envelope[]): ClaimStatus[] {`,
    run: repeats,
    breaks: 'appliedTwice',
  },
  {
    without: 'the inbox insert',
    file: 'database/sqlite/inbox-store.ts',
    from: claim,
    to: `${claim} if (envelopes.length > 0) return envelopes.map(() => 'new')`,
    run: repeats,
    breaks: 'appliedTwice',
  },
  {
    without: 'the epoch check in the guard of a commit',
    file: 'database/sqlite/ownership-store.ts',
    from: 'if (changes !== 1) {',
    to: 'if (changes > 1) {',
    run: zombies,
    breaks: 'outOfOrder',
  },
  {
    without: 'the advance of the checkpoint',
    file: 'database/sqlite/inbox-store.ts',
    from: 'partition, progress.offset ?? null, progress.applied',
    to: 'partition, null, progress.applied',
    run: restarts,
    breaks: 'appliedTwice',
  },
  {
    without: 'the identity check of publish',
    file: 'database/sqlite/log-store.ts',
    from: "this.#windows.claim(record.name, '', envelopes)",
    to: "envelopes.map((): IdentityStatus => 'new')",
    run: republishes,
    breaks: 'acceptedTwice',
  },
  {
    without: 'the wait of an outbox row for the broker: it is removed before it is sent',
    file: 'outbox/relay.ts',
    from: 'return await session.outbox.number(batchRows)',
    to: 'const next = await session.outbox.number(batchRows); await session.outbox.remove(next.map(({ row }) => row)); return next',
    run: relays,
    breaks: 'unheard',
  },
]

/** A copy of the source, changed or not, and of the worker, which imports it. */
function copied(...changes: readonly Change[]): { folder: string; program: string } {
  const folder = temporaryFolder()
  copySource(folder, changes)
  return { folder, program: join(folder, 'test/support/torture-worker.ts') }
}

test('the unchanged copy passes every run that is to notice a mutant', async () => {
  const { folder, program } = copied()
  for (const run of new Set(mutants.map((mutant) => mutant.run))) expect(await run(program)).toEqual([])
  removeFolder(folder)
})

test.for(mutants)('without $without: noticed', async ({ file, from, to, run, breaks }) => {
  const { folder, program } = copied({ file, from, to })
  const found = await run(program)
  expect(found.flatMap((each) => each[breaks] ?? []).length).toBeGreaterThan(0)
  removeFolder(folder)
})
