// The parts of load() that fill Settings, one a section of the configuration. Each reads its keys and reports what is
// wrong between them; types have been checked before.
#pragma once

#include "config/reader.h"
#include "config/settings.h"

namespace postern::config {

void readServer(const Reader& reader, Settings& settings);        // server.*, global.*, control.*, storage.*
void readProviders(const Reader& reader, Settings& settings);     // acme.*
void readEvents(const Reader& reader, Settings& settings);        // events.*
void readCertificates(const Reader& reader, Settings& settings);  // certificate.*
void readAccounts(const Reader& reader, Settings& settings);      // directory.memory.*
// server.listener.*; after those above, whose sections it refers to.
void readListeners(const Reader& reader, Settings& settings);

// The tls.* keys of one listener: mode, policy, source of the certificate. What the listener is (protocol, role) is
// set.
void readListenerTls(const Reader& reader, const Settings& settings, ListenerConfig& config);
// Of these: limits of handshakes, strict-sni, client certificates.
void readHandshakes(const Reader& reader, ListenerConfig& config);
void readSharedHandshakes(const Reader& reader, Settings& settings);
// TLS settings that are weak or likely to lose mail; everything of the listener is read.
void checkTlsSettings(const Reader& reader, const ListenerConfig& config);
// Keys that name sections: tls.acme, tls.certificate, sni; of the server and of every listener, used or not.
void checkReferences(const Reader& reader, const Settings& settings);
// Parts of acme.<name>: how the records of DNS-01 are set; whom else it names (fallback, staging).
void readDns(const Reader& reader, const KeyPath& section, acme::Provider& provider);
void checkOtherProviders(const Reader& reader, const Settings& settings, const acme::Provider& provider);
// Sections that mean one CA and one cache, and so share an account and every setting of it.
void checkSharedProviders(const Reader& reader, const Settings& settings);
// Names that a CA would refuse, of a listener whose certificate a provider is to get.
void checkAcmeNames(const Reader& reader, const Settings& settings, const ListenerConfig& config);
// Key types of its certificates that the listener's cipher suites leave to no client.
void checkKeyTypes(const Reader& reader, const Settings& settings, const ListenerConfig& config);
// As checkAcmeNames(), of one name for one provider (null: names no section) and those it falls back to.
void checkAcmeName(const Reader& reader, const Settings& settings, const Found& found, const acme::Provider* provider);
// Of the names of one certificate: those that no challenge can validate in one order.
void checkAcmeNamesTogether(const Reader& reader, const std::vector<Found>& names);
// The section of this name, or null.
const acme::Provider* providerOf(const Settings& settings, const std::string& name);
// Between listeners: addresses bound twice, listeners on a challenge port that cannot answer the CA.
void checkBinds(const Reader& reader, const Settings& settings);

// The text of a secret: as it stands, or of the file that file:///path names, without its last newline. Nothing when it
// is absent or cannot be read, which is reported.
std::optional<std::string> readSecretText(const Reader& reader, const Found& found);
// A program that is to be run: "" with an error when it is no executable file.
std::string readProgram(const Reader& reader, const Found& found);

// The names in a list key, normalised, each once; with where each stands.
struct NamePlace {
  std::string name;
  Found found;
};
std::vector<NamePlace> readNames(const Reader& reader, const Found& list);

}  // namespace postern::config
