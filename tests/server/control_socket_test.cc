#include "server/control_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <cstring>
#include <future>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "tests/support/temporary_folder.h"

namespace postern::server {
namespace {

class Control : public ::testing::Test {
 protected:
  Control()
      : log_([this] {
          LogSettings settings;
          settings.file = (folder_.path() / "log").string();
          return settings;
        }()) {}

  support::TemporaryFolder folder_;
  std::string path_ = (folder_.path() / "control.sock").string();
  Log log_;
};

TEST_F(Control, AnswersARequestWithOneObjectAndGivesTheOwnerAllRights) {
  ControlSocket socket(path_, {});
  socket.serve(
      [](const Json& request, Rights rights, std::stop_token) {
        return Json(Json::Object{{"said", request["word"]}, {"all", rights == Rights::All}});
      },
      log_);
  const Json answer = askServer(path_, Json::Object{{"word", "hello"}});
  EXPECT_EQ(answer["said"].string(), "hello");
  EXPECT_TRUE(answer["all"].boolean());
}

TEST_F(Control, HasMode0660AndGoesWithTheServer) {
  {
    ControlSocket socket(path_, {});
    struct stat info {};
    ASSERT_EQ(::stat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0660U);
  }
  EXPECT_NE(::access(path_.c_str(), F_OK), 0);
}

TEST_F(Control, IsNotTakenFromAServerThatAnswersThere) {
  ControlSocket socket(path_, {});
  EXPECT_THROW(ControlSocket(path_, {}), PrivilegeError);
  socket.serve([](const Json&, Rights, std::stop_token) { return Json(Json::Object{{"ok", true}}); }, log_);
  EXPECT_TRUE(askServer(path_, Json::Object{})["ok"].boolean());
}

TEST_F(Control, ReplacesAStaleSocketButNoOtherFile) {
  {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    const int stale = ::socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(::bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::close(stale);  // nobody listens there any more
  }
  EXPECT_NO_THROW(ControlSocket(path_, {}));
  support::write(path_, "somebody's notes");
  EXPECT_THROW(ControlSocket(path_, {}), SystemError);
  EXPECT_EQ(support::contentOf(path_), "somebody's notes");
}

TEST_F(Control, AnswersOthersWhileARequestWaitsAndEndsItAtTheStop) {
  std::promise<void> waiting;
  std::optional<ControlSocket> socket(std::in_place, path_, std::nullopt);
  socket->serve(
      [&](const Json& request, Rights, std::stop_token stop) {
        if (!request["wait"].boolean()) return Json(Json::Object{{"ok", true}});
        waiting.set_value();
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        never.wait(lock, stop, [] { return false; });
        return Json(Json::Object{{"ok", false}});
      },
      log_);
  auto slow = std::async(std::launch::async, [&] {
    try {
      return askServer(path_, Json::Object{{"wait", true}})["ok"].boolean(true);
    } catch (const std::exception&) {
      return false;
    }
  });
  waiting.get_future().wait();
  EXPECT_TRUE(askServer(path_, Json::Object{})["ok"].boolean());
  socket.reset();
  EXPECT_FALSE(slow.get());
}

TEST_F(Control, RefusesWhatIsNoRequest) {
  ControlSocket socket(path_, {});
  socket.serve([](const Json&, Rights, std::stop_token) { return Json(Json::Object{{"ok", true}}); }, log_);
  EXPECT_FALSE(askServer(path_, Json("only text"))["ok"].boolean(true));
}

TEST_F(Control, SaysSoWhenNobodyAnswers) {
  try {
    askServer(path_, Json::Object{});
    FAIL() << "somebody answered";
  } catch (const SystemError& error) {
    EXPECT_NE(std::string(error.what()).find("is the server running"), std::string::npos);
  }
}

}  // namespace
}  // namespace postern::server
