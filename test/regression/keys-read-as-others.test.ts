import { expect, test } from 'vitest'
import { call, topic } from '../../src/index.ts'
import { describeOnEngines } from '../support/engines.ts'

interface Sheet {
  readonly id: string
  readonly cells: Readonly<Record<string, number>>
}

const sheets = topic<Sheet>('sheets', { partitions: 1, id: (sheet) => sheet.id })

describeOnEngines('keys', (engine) => {
  /**
   * `JSON.parse` of V8 13.6 reads a key that is written with an escape as another that it has seen in that place
   * (src/parse-json.ts): a handler was given the data of no message, and the effect was a wrong one.
   */
  test('consumer: keys that are read as those of an earlier message: handler, call and its result have those that were sent', async () => {
    const store = await engine.store('create table effect (id text, cells text, asked text, answer text)')
    const insert = 'insert into effect values (?, ?, ?, ?)'
    const app = store.app()
    app.consume(sheets, {
      group: 'applies',
      apply: ({ id, cells }, { tx }) => store.write(tx, insert, id, JSON.stringify(cells), '', ''),
    })
    app.consume(sheets, {
      group: 'calls',
      calls: { total: call(({ cells }: Sheet) => ({ asked: JSON.stringify(cells), cells })) },
      apply: ({ id, cells }, { tx, calls }) => {
        const { asked, cells: answer } = calls.total
        return store.write(tx, insert, id, JSON.stringify(cells), asked, JSON.stringify(answer))
      },
    })
    const sent: Sheet[] = [
      { id: 'earlier', cells: { Cost: 1, 'Cost\\': 2 } },
      { id: 'two lines', cells: { Cost: 1, 'Cost\n': 2 } },
      { id: 'quoted', cells: { Cost: 1, 'Cost"': 2 } },
    ]
    for (const sheet of sent) await app.publish(sheets, sheet)
    await app.start()
    await app.idle()
    const wanted = sent.map(({ id, cells }) => ({ id, cells: JSON.stringify(cells) })).toSorted((a, b) => (a.id < b.id ? -1 : 1))
    expect(await store.rows(`select id, cells from effect where asked = '' order by id`)).toEqual(wanted)
    expect(await store.rows(`select id, cells, asked, answer from effect where asked != '' order by id`)).toEqual(
      wanted.map(({ id, cells }) => ({ id, cells, asked: cells, answer: cells })),
    )
  })
})
