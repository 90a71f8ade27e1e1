/** Where OpenSSL 3.0 accepts what is refused here, and why: by the names of the cases, the column beside each of them. */
const reasons: readonly { why: string; names: readonly RegExp[] }[] = [
  {
    why: 'it reads BER: lengths and booleans of any form, defaults written out, and not to the end of an extension’s value',
    names: [
      /: (subjectKeyId|authorityKeyId) (with something behind|whose length|that writes out)/,
      /: (keyUsage|subjectAlternativeName|crlDistributionPoints|certificatePolicies) (with something behind|whose length|that writes out|that is critical by)/,
      /: (extendedKeyUsage|nameConstraints) (with something behind|whose length|that writes out|that is critical by)/,
      /: basicConstraints (with something behind|that is critical by)/,
      /(CA|root): basicConstraints whose length/,
      /leaf: (basicConstraints|authorityInfoAccess) that writes out/,
      /leaf: basicConstraints: no CA, written out/,
      /(CA|root): basicConstraints: a CA by 01/,
      /CRL: a number with (a zero|something)/,
      /CRL: a list of no entries/,
      /CRL: an entry without a field in its extensions/,
      /CA’s CRL: a scope that writes out a default/,
      /path: an octet string behind/,
      /path: a .* of indefinite length/,
    ],
  },
  {
    why: 'it has no limit on sizes and counts',
    names: [
      /: \d+ extensions/,
      /: over \d+$/,
      /: of over 64 subtrees/,
      /a .* of over 16 KiB/,
      /more intermediates/,
      /(CA|root): keyUsage: of 24 bits/,
      /(CA|root): basicConstraints: a path length over 31 bits/,
    ],
  },
  {
    why: 'fields that have no part in its path are passed over, or read and not judged',
    names: [
      /: version 4/,
      /(issuer|subject)’s unique identifier/,
      /: serial number 0/,
      /: a negative serial number/,
      /: a serial number of 21 octets/,
      /root: certificatePolicies: /,
      /: crlDistributionPoints: (an empty list|no name in one|an empty issuer)/,
      /leaf: authorityInfoAccess twice/,
      /(leaf|CA|root): subjectAlternativeName: a URI (that is not ASCII|with a zero octet)/,
      /leaf: subjectAlternativeName: (a registered id|another name) besides/,
    ],
  },
  {
    why: 'a root is an anchor whose own signature and algorithm are not looked at',
    names: [/root: another digest in both algorithms/, /root: a signature that is not whole octets/],
  },
  { why: 'it compares names without regard to letters’ case', names: [/: an issuer in other letters/] },
  {
    why: 'it takes any algorithm and key that it knows; here those of the profile set alone',
    names: [
      /: parameters in both algorithms/,
      /CRL: another algorithm within/,
      /leaf: a key on /,
      /leaf: an (Ed25519|RSA) key/,
      /: a compressed point/,
      /leaf: a point at infinity/,
    ],
  },
  {
    why: 'a leaf needs no purpose, usage or name for a TLS client there; here the profile asks for each',
    names: [
      /leaf: no (keyUsage|extendedKeyUsage|subjectAlternativeName)/,
      /leaf: keyUsage: keyAgreement alone/,
      /leaf: basicConstraints: a CA$/,
      /leaf: subjectAlternativeName: (a (gateway|sealer|mdm|operator|researcher)|no id|an id|a prefix|two ids|one id|a directory name inside)/,
    ],
  },
  {
    why: 'it processes policies by the whole algorithm; here every certificate names the class itself',
    names: [/: (policyMappings|policyConstraints|inhibitAnyPolicy): there/, /: certificatePolicies: any alone/],
  },
  {
    why: 'it processes the extension whether it is critical or not',
    names: [
      /CA: nameConstraints of other criticality/,
      /leaf: crlDistributionPoints of other criticality/,
      /root: nameConstraints: on the root, not critical/,
      /leaf: nameConstraints: on a leaf/,
    ],
  },
  {
    why: 'it judges a key identifier by the parts that it can use',
    names: [
      /: authorityKeyId: an issuer without a serial number/,
      /(CA|root): authorityKeyId: a serial number without/,
      /(CA|root): authorityKeyId: an issuer that is a host/,
    ],
  },
  {
    why: 'a constraint that says nothing of the leaf’s names is not read further',
    names: [
      /CA: nameConstraints: (that say nothing|of an |of a DNS|with a m)/,
      /CA: nameConstraints: of (registered|other)/,
    ],
  },
  {
    why: 'of a CRL it asks for less than RFC 5280, 5.2, does: no version, next update, number or key identifier',
    names: [
      /CRL: (no version|version)/,
      /CRL: no (next update|extensions|key identifier|number)/,
      /CRL: a key identifier (of nothing|that is malformed)/,
      /CRL: a critical key identifier/,
      /CRL: two (numbers|key identifiers)/,
      /CRL: a (negative number|number of|number that)/,
      /CRL: an entry with a bad date/,
    ],
  },
  {
    why: 'without -extended_crl it takes a delta, a list of other issuers too, and one of odd scope for a plain one',
    names: [
      /CRL: a delta/,
      /CRL: an entry of another issuer/,
      /CRL: a scope that (says nothing|is no sequence)/,
      /CA’s CRL: a scope of users alone/,
    ],
  },
  {
    why: 'removeFromCRL, which belongs in a delta, undoes the revocation there',
    names: [/CRL: an entry of the certificate, for reason 8/],
  },
  {
    why: 'it takes one CRL of an issuer that serves, and does not look at the others',
    names: [/path: a (stale )?CRL that lists the .* beside/],
  },
]

/** @returns `undefined` where it refuses too */
export function whyOpensslAccepts(name: string): string | undefined {
  return reasons.find(({ names }) => names.some((pattern) => pattern.test(name)))?.why
}
