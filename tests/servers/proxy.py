from ..support.proxy import Proxy as Proxy
