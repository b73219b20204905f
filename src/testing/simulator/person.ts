import type { App } from '../../app.ts'
import { isOnefoldError } from '../../errors.ts'
import type { Operation } from '../history.ts'
import type { OutsideWorld } from './outside-world.ts'

const by = 'somebody who has looked'

/** Settles unknown outcomes as a person does who has asked the other side: by its books, once nothing is on its way to it any more. */
export async function settleUnknown(
  app: App<unknown>,
  outside: OutsideWorld,
  history: Operation[],
  hands: { tell(what: string): void; endProcess(pid: number): void },
): Promise<void> {
  for (const item of await app.attention.list()) {
    if (item.kind !== 'unknown-outcome') continue
    const { topic, group } = item
    const of = { topic, group, identity: item.envelope.id }
    history.push({ op: 'attention', ...of, kind: item.kind })
    const open = (await app.attention.show(item.id)).calls.filter(({ state }) => state === 'intent' || state === 'unknown')
    if (open.length === 0 && (await untilAnswered(() => app.attention.redrive(item.id, { by })))) {
      history.push({ op: 'person', action: 'redrive', outcome: 'happened', by, ...of })
      continue
    }
    for (const { name, token, owner, process } of open) {
      const charge = outside.charged(token)
      // Whoever began the request and lives may still be at it: 'did not happen' can only be said when it is gone.
      if (charge === undefined && owner === 'alive') hands.endProcess(process.pid)
      const settlement =
        charge === undefined
          ? ({ call: name, as: 'did-not-happen' } as const)
          : ({ call: name, as: 'happened', result: charge.result } as const)
      if (!(await untilAnswered(() => app.attention.settle(item.id, settlement, { by })))) continue
      hands.tell(`settles ${name} for ${of.identity}: ${charge === undefined ? 'it did not happen' : 'it happened'}`)
      history.push({ op: 'settle', ...of, call: name, token, as: settlement.as, by })
    }
    history.push({ op: 'person', action: 'settle', outcome: 'happened', by, ...of })
  }
}

/** Clicks again when it hears an error that says so. Answers true also when an earlier click has done it. */
async function untilAnswered(act: () => Promise<boolean>): Promise<boolean> {
  for (let clicks = 1; ; clicks++) {
    try {
      return (await act()) || clicks > 1
    } catch (error) {
      if (!isOnefoldError(error) || error.retry === 'never') throw error
    }
  }
}
