"""Export the names that a plugin may use: `from blueprints.plugins import Kind, Listener, Service`.

Other modules of the service may change with any version; these names do not change within a major version
(docs/plugins.md). Plugins of the service are modules of this package, one for each name in `kinto.plugins.`.
"""

from app.aliases import Alias as Alias
from app.authentication.logins import compute_once as compute_once
from app.decisions.showing import public_document as public_document
from app.errors import ApiError as ApiError
from app.errors import Forbidden as Forbidden
from app.errors import Invalid as Invalid
from app.errors import NoSuchUrl as NoSuchUrl
from app.errors import Problem as Problem
from app.errors import Unauthenticated as Unauthenticated
from app.errors import Unknown as Unknown
from app.events import Context as Context
from app.events import Event as Event
from app.events import Impact as Impact
from app.events import Listener as Listener
from app.identity import EVERYONE as EVERYONE
from app.identity import ClientRequest as ClientRequest
from app.identity import DescribedPolicy as DescribedPolicy
from app.identity import Identity as Identity
from app.identity import Policy as Policy
from app.identity import Reader as Reader
from app.identity import RequestPolicy as RequestPolicy
from app.kinds import Kind as Kind
from app.kinds import KindHooks as KindHooks
from app.operation import Body as Body
from app.operation import Effect as Effect
from app.operation import Operation as Operation
from app.operation import Outcome as Outcome
from app.service import Service as Service
from app.settings import PolicySettings as PolicySettings
from app.settings import SettingError as SettingError
from app.settings import Settings as Settings
from app.settings.values import boolean as boolean
from app.settings.values import number as number
from app.settings.values import text as text
from app.settings.values import whole as whole
from app.settings.values import words as words
from app.transactions.perform import perform as perform
from app.transactions.whole_buckets import list_objects as list_objects
from app.transactions.whole_buckets import with_locked_bucket as with_locked_bucket
from backends import BackendError as BackendError
from backends import Json as Json
from backends.breaker import Breaker as Breaker
from backends.metrics import Metrics as Metrics
from backends.storage import PluginTables as PluginTables
from backends.storage import Selection as Selection
from backends.storage import Snapshot as Snapshot
from backends.storage import Stored as Stored
from backends.storage import Transaction as Transaction
from backends.storage import bucket_of as bucket_of
from backends.storage import list_of as list_of
from backends.storage import read_bucket as read_bucket
from blueprints.authentication import authenticate_and_verify as authenticate_and_verify
from blueprints.exchanges import add_log_fields as add_log_fields
from blueprints.http import is_batch_member as is_batch_member
from blueprints.http import to_response as to_response
from blueprints.replies import Reply as Reply
from blueprints.urls import origin_of_urls as origin_of_urls
from blueprints.urls import prefix as prefix
