#include "tests/support/fake_ca_failure.h"

namespace postern::test {

std::vector<Failure> allFailures() {
  return {Failure::Refused,         Failure::Timeout,           Failure::ServerError,
          Failure::Unavailable,     Failure::UnavailableDate,   Failure::RateLimited,
          Failure::RateLimitedHtml, Failure::NotFound,          Failure::Redirect,
          Failure::BadNonce,        Failure::BadNonceStorm,     Failure::ResetMidBody,
          Failure::AnswerLost,      Failure::NoNonce,           Failure::TruncatedJson,
          Failure::WrongJson,       Failure::WrongContentType,  Failure::EndlessBody,
          Failure::UnknownEnums,    Failure::StuckInProcessing, Failure::InvalidAuthorization,
          Failure::OtherKey,        Failure::OtherNames,        Failure::Expired,
          Failure::NotYetValid,     Failure::LeafOnly,          Failure::Garbage};
}

std::string_view nameOf(Failure failure) {
  switch (failure) {
    case Failure::Refused: return "Refused";
    case Failure::Timeout: return "Timeout";
    case Failure::Hang: return "Hang";
    case Failure::ServerError: return "ServerError";
    case Failure::Unavailable: return "Unavailable";
    case Failure::UnavailableDate: return "UnavailableDate";
    case Failure::RateLimited: return "RateLimited";
    case Failure::RateLimitedHtml: return "RateLimitedHtml";
    case Failure::NotFound: return "NotFound";
    case Failure::Redirect: return "Redirect";
    case Failure::BadNonce: return "BadNonce";
    case Failure::BadNonceStorm: return "BadNonceStorm";
    case Failure::ResetMidBody: return "ResetMidBody";
    case Failure::AnswerLost: return "AnswerLost";
    case Failure::NoNonce: return "NoNonce";
    case Failure::TruncatedJson: return "TruncatedJson";
    case Failure::WrongJson: return "WrongJson";
    case Failure::WrongContentType: return "WrongContentType";
    case Failure::EndlessBody: return "EndlessBody";
    case Failure::UnknownEnums: return "UnknownEnums";
    case Failure::StuckInProcessing: return "StuckInProcessing";
    case Failure::InvalidAuthorization: return "InvalidAuthorization";
    case Failure::OtherKey: return "OtherKey";
    case Failure::OtherNames: return "OtherNames";
    case Failure::Expired: return "Expired";
    case Failure::NotYetValid: return "NotYetValid";
    case Failure::LeafOnly: return "LeafOnly";
    case Failure::Garbage: return "Garbage";
  }
  return "";
}

std::vector<std::string> stages() {
  return {"directory", "newNonce", "newAccount",  "account",   "newOrder",    "authorization", "challenge",
          "finalize",  "order",    "certificate", "keyChange", "renewalInfo", "revokeCert"};
}

}  // namespace postern::test
