import type { CallGuarantee, ConsumerGuarantee, Guarantee, TopicGuarantee, Weakening } from './guarantee.ts'

const width = 110

/**
 * A guarantee as text for people. Pure, and without versions, paths or times: the same configuration gives the same text.
 *
 * @example
 * console.log(explainText(app.explain()))
 */
export function explainText(guarantee: Guarantee): string {
  const { source, database, broker, failureModel, refusals } = guarantee
  return [
    ...refusals.map(({ says }) => wrap(says, 'start() will refuse: ', '  ')),
    ...(refusals.length > 0 ? [''] : []),
    source === null ? 'What holds for this app' : `What holds for ${source}`,
    '',
    ...entry(`Database ${database.name}`, database.says, database.weakenedBy),
    ...entry(`Broker ${broker.name}`, broker.says, broker.weakenedBy),
    ...entry('Failures covered', failureModel.covered, []),
    ...entry('Failures not covered', failureModel.notCovered, []),
    ...guarantee.topics.flatMap((topic) => [
      ...topicText(topic),
      ...guarantee.consumers.filter((consumer) => consumer.topic === topic.name).flatMap(consumerText),
    ]),
    ...(guarantee.consumers.length === 0 ? ['No consumer is declared.', ''] : []),
  ].join('\n')
}

function entry(title: string, says: readonly string[], weakenedBy: readonly Weakening[]): string[] {
  return [title, ...says.map((text) => wrap(text, '  ', '  ')), ...weakenedBy.map((one) => weakening(one, '  ')), '']
}

function topicText(topic: TopicGuarantee): string[] {
  const { identity, idReuse, order, dedupWindow, retention, weakenedBy } = topic
  return [
    `Topic ${topic.name}`,
    item('identity', identity.says),
    item('id reuse', idReuse.says),
    item('repeats', dedupWindow.says),
    item('order', order.says),
    item('retention', retention.says),
    ...(topic.hasSchema ? [item('schema', 'Checked when it is published and again when it is received.')] : []),
    ...weakenedBy.map((one) => weakening(one, '  ')),
    '',
  ]
}

function consumerText(consumer: ConsumerGuarantee): string[] {
  const { topic, group, semantics, holds, doesNotHold, order, window, durability, attempts, held, calls } = consumer
  const own = consumer.weakenedBy.filter(({ where }) => where === `consume('${topic}', '${group}')`)
  return [
    `Group ${topic} / ${group}: ${semantics}`,
    ...items('holds', holds, '  '),
    ...items('does not hold', doesNotHold, '  '),
    item('order', order.says),
    item('window', window.says),
    item('durability', durability.says),
    item('attempts', attempts.says),
    item('held', held.says),
    ...own.map((one) => weakening(one, '  ')),
    ...calls.flatMap(callText),
    '',
  ]
}

function callText(call: CallGuarantee): string[] {
  const some = call.conditional ? ', for some messages only' : ''
  return [
    `  Call ${call.name}: ${call.rule}${some}`,
    ...items('holds', call.holds, '    '),
    ...items('does not hold', call.doesNotHold, '    '),
    ...call.weakenedBy.map((one) => weakening(one, '    ')),
  ]
}

function weakening({ option, value, where, says }: Weakening, indent: string): string {
  return item('weakened by', `${option}: ${value} in ${where}: ${says}.`, indent)
}

function items(label: string, texts: readonly string[], indent: string): string[] {
  return texts.map((text, index) => item(index === 0 ? label : '', text, indent))
}

/** A label in its column, and its text beside it. */
function item(label: string, text: string, indent = '  '): string {
  const head = `${indent}${label.padEnd(15)}`
  return wrap(text, head, ' '.repeat(head.length))
}

function wrap(text: string, first: string, rest: string): string {
  const lines: string[] = []
  let line = first
  let words = 0
  for (const word of text.split(' ')) {
    if (words > 0 && line.length + word.length + 1 > width) {
      lines.push(line)
      line = rest
      words = 0
    }
    line += words === 0 ? word : ` ${word}`
    words++
  }
  return [...lines, line].join('\n')
}
