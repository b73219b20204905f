import type { App } from '../../app.ts'
import type { Operation } from '../history.ts'
import type { OutsideWorld } from './outside-world.ts'

const by = 'somebody who has looked'

/** Settles unknown outcomes as a person does who has asked the other side: by its books, once nothing is on its way to it any more. */
export async function settleUnknown(
  app: App<unknown>,
  outside: OutsideWorld,
  history: Operation[],
  tell: (what: string) => void,
): Promise<void> {
  for (const item of await app.attention.list()) {
    if (item.kind !== 'unknown-outcome') continue
    const { topic, group } = item
    const of = { topic, group, identity: item.envelope.id }
    history.push({ op: 'attention', ...of, kind: item.kind })
    for (const { name, token, state } of (await app.attention.show(item.id)).calls) {
      if (state !== 'intent' && state !== 'unknown') continue
      const charge = outside.charged(token)
      const settlement =
        charge === undefined
          ? ({ call: name, as: 'did-not-happen' } as const)
          : ({ call: name, as: 'happened', result: charge.result } as const)
      if (!(await app.attention.settle(item.id, settlement, { by }))) continue
      tell(`settles ${name} for ${of.identity}: ${charge === undefined ? 'it did not happen' : 'it happened'}`)
      history.push({ op: 'settle', ...of, call: name, token, as: settlement.as, by })
    }
    history.push({ op: 'person', action: 'settle', outcome: 'happened', by, ...of })
  }
}
