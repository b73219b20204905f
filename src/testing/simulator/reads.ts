import type { Stores } from '../../database/database.ts'
import { OnefoldError } from '../../errors.ts'
import type { Awaitable } from '../../message.ts'
import { isThenable } from '../../message.ts'
import { fine } from './world.ts'
import type { ProcessDatabaseOptions } from './world-database.ts'

/** What of a read moves messages. All else keeps house: who is there, who owns what, what is due later. */
const ofMessages: Readonly<Partial<Record<keyof Stores, string>>> = {
  log: 'the log',
  checkpoints: 'checkpoints',
  parked: 'what is parked',
  startMarks: 'start marks',
  calls: 'the journal of calls',
  outbox: 'the outbox',
}
const housekeeping: readonly (keyof Stores)[] = [
  'topics',
  'groups',
  'inbox',
  'schedule',
  'ownership',
  'attention',
  'cron',
  'erasures',
]

/** The stores, and which of them one read looked at first. */
class NotedStores {
  readonly stores: Stores
  asked: keyof Stores | undefined

  constructor(stores: Stores) {
    this.stores = stores
  }
}

for (const name of [...(Object.keys(ofMessages) as (keyof Stores)[]), ...housekeeping])
  Object.defineProperty(NotedStores.prototype, name, {
    get(this: NotedStores) {
      this.asked ??= name
      return this.stores[name]
    },
  })

/** Reads what is committed, and answers as the world has it: now or later, or not at all, as a disk or a connection that fails. */
export async function readIn<R>(
  { world, self, everyCommit, reads }: ProcessDatabaseOptions,
  look: (work: (stores: Stores) => Awaitable<R>) => Awaitable<R>,
  work: (stores: Stores) => Awaitable<R>,
): Promise<R> {
  if (reads === undefined) return look(work)
  let noting: NotedStores | undefined
  const running = look((stores) => {
    noting = new NotedStores(stores)
    return work(noting as unknown as Stores)
  })
  const answer = isThenable(running) ? ((await running) as R) : running
  if (reads === 'answered later')
    await new Promise<void>((resolve) => {
      world.call({ owner: self, label: 'an answer', locks: false, faults: [], begin: () => resolve() })
    })
  const asked = noting?.asked
  if (asked === undefined) return answer
  const what = ofMessages[asked] ?? (everyCommit ? asked : undefined)
  if (what === undefined || world.decisions.choose(`${self.name}: read ${what}`, [fine, 'fails']) === fine) return answer
  world.tell(self, `cannot read ${what}`)
  throw new OnefoldError('DATABASE_IO', `the simulated database cannot read ${what}.`, { retry: 'later' })
}
