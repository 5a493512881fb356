// What the configuration calls things, for `check` and `status`.
#pragma once

#include "acme/manager.h"
#include "listeners/settings.h"

namespace postern::server {

inline const char* nameOf(listeners::TlsMode mode) {
  switch (mode) {
    case listeners::TlsMode::Off: return "off";
    case listeners::TlsMode::StartTls: return "starttls";
    case listeners::TlsMode::Implicit: return "implicit";
  }
  return "";
}

inline const char* nameOf(listeners::Protocol protocol) {
  switch (protocol) {
    case listeners::Protocol::Smtp: return "smtp";
    case listeners::Protocol::Imap: return "imap";
    case listeners::Protocol::Http: return "http";
    case listeners::Protocol::ChallengeOnly: return "challenge-only";
  }
  return "";
}

inline const char* nameOf(acme::ProviderStatus::State state) {
  switch (state) {
    case acme::ProviderStatus::State::Ok: return "ok";
    case acme::ProviderStatus::State::Failing: return "failing";
    case acme::ProviderStatus::State::Unknown: return "unknown";
  }
  return "";
}

}  // namespace postern::server
