import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'

export interface Content {
  /** media type */
  type: string
  text: string
}

/**
 * Sends `text` with an entity tag, or 304 where the client has just that. `no-cache`: a copy may be kept and must be
 * asked about, since a closed day never changes but the latest day does, and so may the page's files.
 * @see RFC 9110, 8.8.3 and 13.1.2
 */
export function sendTagged(request: FastifyRequest, reply: FastifyReply, { type, text }: Content): FastifyReply {
  const tag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 27)}"`
  reply.header('etag', tag).header('cache-control', 'no-cache')
  const known = request.headers['if-none-match']?.split(',').map((one) => one.trim().replace(/^W\//, ''))
  return known?.includes(tag) || known?.includes('*') ? reply.code(304).send() : reply.type(type).send(text)
}
