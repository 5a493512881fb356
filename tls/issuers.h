// Issuers: certificates of CAs, each in memory once. Thousands of certificates come with the same few intermediates;
// reading one again costs as much as reading a leaf, and keeping it again more.
//
// Any thread may call. The newest few are kept for the life of the process.
#pragma once

#include <string_view>

#include "tls/openssl.h"

namespace postern::tls {

// The certificate that these bytes are in DER: the one that is there already, or a new one. Null when they are none.
CertPtr issuerFromDer(std::string_view der);

}  // namespace postern::tls
