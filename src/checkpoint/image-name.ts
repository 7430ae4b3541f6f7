/**
 * The name under which a runtime keeps an image that a pod names: `redis` is `docker.io/library/redis:latest`, and of a
 * tag and a digest the digest counts (https://github.com/distribution/reference: ParseNormalizedNamed, ParseDockerRef).
 */
export function fullImageName(image: string): string {
  const [first = '', ...rest] = image.split('/')
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase()
  const hasHost = rest.length > 0 && isHost
  const host = hasHost && first !== 'index.docker.io' ? first : 'docker.io'
  const path = hasHost ? rest.join('/') : image
  const named = `${host}/${host === 'docker.io' && !path.includes('/') ? 'library/' : ''}${path}`
  const [name = '', digest] = named.split('@')
  const tagAt = name.indexOf(':', name.lastIndexOf('/'))
  if (digest !== undefined) return `${tagAt < 0 ? name : name.slice(0, tagAt)}@${digest}`
  return tagAt < 0 ? `${name}:latest` : name
}
