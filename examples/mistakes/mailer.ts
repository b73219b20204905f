/**
 * Stands for a mail provider: it belongs to somebody else, so no crash and no rollback of ours takes back what it did. Asked again
 * under a key it knows, it sends nothing and gives the answer it gave before.
 */
export class Mailer {
  sent: string[] = []
  readonly #answers = new Map<string, { readonly id: string }>()

  send(text: string, key?: string): { readonly id: string } {
    const known = key === undefined ? undefined : this.#answers.get(key)
    if (known !== undefined) return known
    this.sent.push(text)
    const answer = { id: `mail-${this.sent.length}` }
    if (key !== undefined) this.#answers.set(key, answer)
    return answer
  }

  reset(): void {
    this.sent = []
    this.#answers.clear()
  }
}

export const mailer = new Mailer()
